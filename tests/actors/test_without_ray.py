"""The thinking in actors/ needs no Ray: only the thin files know it."""

import subprocess
import sys
from pathlib import Path

import pytest

THIN = {"consumer_actor", "ray_client", "shard_actor", "supervisor_actor"}
PLAIN = sorted(path.stem for path in Path("actors").glob("*.py") if path.stem not in {"__init__", *THIN})


def test_the_plain_modules_do_not_bring_ray_with_them():
    imports = "; ".join(f"import actors.{name}" for name in PLAIN)
    code = f"import sys; {imports}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_ray_is_forbidden_here():
    import ray

    with pytest.raises(AssertionError):
        ray.init()
