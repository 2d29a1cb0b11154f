"""The API's own tests again, against the gateway of a Holdfast that runs: HAProxy, Serve, shard, Postgres."""

import os
import subprocess
import sys

import pytest

from holdfast.ray_head import root_of_code
from tests.system.running import Running

pytestmark = pytest.mark.cluster


def test_every_route_answers_through_serve_as_it_does_alone(cluster: Running) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/api"],
        env=os.environ
        | {
            "HOLDFAST_TEST_BASE_URL": cluster.gateway,
            "HOLDFAST_TEST_OPERATOR_TOKEN": cluster.operator_token(),
        },
        cwd=root_of_code(),
        text=True,
        capture_output=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
