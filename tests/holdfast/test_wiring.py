"""What the composition root sets in one place because of what it set in another."""

from pathlib import Path

from actors.shard_host import load_callable
from holdfast.metrics import shard_report
from holdfast.settings import Settings
from holdfast.wiring import Parts, shard_configs


def test_a_call_with_commands_outlasts_the_patience_of_its_shard(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, take_over_wait_seconds=21.0)
    patience_seconds = shard_configs(settings)[0].limits.patience_seconds
    assert patience_seconds == 21.0
    assert Parts(settings, "test").calls.commands_seconds > patience_seconds


def test_shards_show_their_figures(tmp_path: Path) -> None:
    [config] = shard_configs(Settings(data_dir=tmp_path))
    assert load_callable(config.make_report) is shard_report
