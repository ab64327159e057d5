import pytest

from libs.settings import SettingsError, parse
from services.router.settings import RouterSettings


def test_the_flags_of_the_platform_are_read():
    argv = ["--rpc.port", "8101", "--workers", '["127.0.0.1:8111","127.0.0.1:8112"]', "--valkey.url", "redis://h:1"]
    settings = parse(RouterSettings, argv, {}).settings
    assert settings.workers == ("127.0.0.1:8111", "127.0.0.1:8112")
    assert settings.valkey.url == "redis://h:1"


@pytest.mark.parametrize(
    "argv",
    [
        ["--bindings.recheck_seconds", "100", "--bindings.ttl_seconds", "100"],
        ["--workers", '["a:1","a:1"]'],
        ["--placement.load_factor", "0.5"],
        ["--nonsense", "1"],
    ],
)
def test_what_cannot_work_refuses_to_start(argv):
    with pytest.raises(SettingsError):
        parse(RouterSettings, argv, {})
