from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import SecretStr, ValidationError

from libs.settings import ServiceSettings, SettingsError, SettingsGroup, load, parse


class Rpc(SettingsGroup):
    host: str = "127.0.0.1"
    port: int = 1
    token: str = ""


class Settings(ServiceSettings):
    service: ClassVar[str] = "demo"
    rpc: Rpc = Rpc()
    workers: tuple[str, ...] = ()
    anonymous: bool = False
    url: str = "redis://user:hunter2@host:1/0"
    secret: SecretStr = SecretStr("")
    keys_file: Path | None = None


def settings(*argv, **environ):
    return parse(Settings, argv, environ).settings


def problems(*argv, **environ):
    with pytest.raises(SettingsError) as caught:
        parse(Settings, argv, environ)
    return caught.value.problems


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "demo.yaml"
        path.write_text(text)
        return f"--config={path}"

    return write


def test_defaults_alone_are_valid():
    assert settings() == Settings()


def test_flags_win_over_the_environment_and_that_over_the_file(config):
    file = config("rpc: {port: 2, host: a}\nanonymous: true\nworkers: [x]")
    loaded = parse(Settings, [file, "--rpc.port=4"], {"HEADRACE_DEMO_RPC__PORT": "3", "HEADRACE_DEMO_RPC__HOST": "b"})
    assert (loaded.settings.rpc.port, loaded.settings.rpc.host) == (4, "b")
    assert (loaded.settings.workers, loaded.settings.anonymous) == (("x",), True)
    assert loaded.origins["rpc.port"] == "flag"
    assert loaded.origins["rpc.host"] == "environment"
    assert loaded.origins["workers"].endswith("demo.yaml")


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        (["--anonymous"], True),
        (["--anonymous", "true"], True),
        (["--anonymous=false"], False),
        (["--no-anonymous"], False),
        (["--anonymous", "--rpc.port", "9"], True),
    ],
)
def test_boolean_flags(argv, value):
    assert settings(*argv).anonymous is value


def test_dashes_and_underscores_are_the_same():
    assert settings("--keys-file", "a").keys_file == settings("--keys_file", "a").keys_file == Path("a")


def test_lists_and_groups_are_json():
    assert settings("--workers", '["a", "b"]').workers == ("a", "b")
    assert settings(HEADRACE_DEMO_WORKERS='["c"]').workers == ("c",)
    assert settings("--rpc", '{"port": 7}').rpc.port == 7
    assert "is not JSON" in problems("--workers", "[a")[0]


def test_a_group_given_whole_replaces_weaker_values(config):
    assert settings(config("rpc: {port: 2, host: a}"), "--rpc", '{"port": 7}').rpc == Rpc(port=7)


def test_unknown_flags_are_refused_with_the_nearest_key():
    assert problems("--rcp.port", "1") == ("--rcp.port: is not a setting; did you mean rpc.port?",)


def test_unknown_yaml_keys_are_refused(config):
    assert "rpc.prot (in" in problems(config("rpc: {prot: 1}"))[0]
    assert "did you mean rpc.port?" in problems(config("rpc: {prot: 1}"))[0]
    assert "did you mean workers?" in problems(config("worker: []"))[0]


def test_unknown_variables_of_the_service_are_refused_and_others_are_not():
    assert "HEADRACE_DEMO_RPC__PROT" in problems(HEADRACE_DEMO_RPC__PROT="1")[0]
    assert settings(HEADRACE_OTHER_RPC__PROT="1", PATH="x") == Settings()


def test_a_variable_that_kubernetes_sets_is_explained():
    assert "enableServiceLinks" in problems(HEADRACE_DEMO_SERVICE_HOST="10.0.0.1")[0]


def test_unknown_keys_inside_json_are_refused():
    assert problems("--rpc", '{"prot": 1}') == ("rpc.prot (from flag): is not a setting; did you mean rpc.port?",)


def test_a_wrong_value_names_key_source_and_reason():
    (problem,) = problems(HEADRACE_DEMO_RPC__PORT="many")
    assert problem.startswith("rpc.port (from environment): Input should be a valid integer")


def test_all_problems_of_a_source_are_told_at_once():
    assert len(problems("--rcp.port", "1", "--log.levle", "x", "stray")) == 3


def test_a_flag_without_value_is_refused():
    assert "needs a value" in problems("--rpc.port")[0]


def test_a_file_that_is_missing_or_no_mapping_is_refused(config):
    assert "cannot be read" in problems("--config", "/nowhere.yaml")[0]
    assert "must hold keys" in problems(config("- a"))[0]
    assert "cannot be read as YAML" in problems(config("a: ["))[0]
    assert settings(config("")) == Settings()


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        Settings().rpc.port = 3
    with pytest.raises(ValidationError):
        Settings().anonymous = True


def test_construction_does_not_read_the_environment(monkeypatch):
    monkeypatch.setenv("HEADRACE_DEMO_ANONYMOUS", "true")
    monkeypatch.setenv("ANONYMOUS", "true")
    assert Settings().anonymous is False


def test_check_config_exits_with_zero_or_two(capsys):
    with pytest.raises(SystemExit) as ended:
        load(Settings, ["--check-config"], {})
    assert ended.value.code == 0
    assert "valid" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        load(Settings, ["--check-config", "--rpc.port", "x"], {})
    assert ended.value.code == 2
    assert "demo: rpc.port (from flag)" in capsys.readouterr().err


def printed(capsys, *argv):
    with pytest.raises(SystemExit) as ended:
        load(Settings, argv, {})
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_print_config_masks_secrets_and_says_where_values_came_from(capsys):
    out = printed(capsys, "--print-config", "--rpc.token", "tok-1", "--secret", "tok-2", "--rpc.port", "8")
    assert "tok-1" not in out
    assert "tok-2" not in out
    assert "hunter2" not in out
    assert "port: 8  # flag" in out


def test_print_config_can_be_loaded_again(capsys, config):
    out = printed(capsys, "--print-config", "--rpc.port", "8", "--workers", '["a"]', "--url", "redis://h:1")
    again = settings(config(out))
    assert (again.rpc.port, again.workers) == (8, ("a",))


def test_help_lists_every_key_and_no_secret(capsys):
    out = printed(capsys, "--help")
    assert "--rpc.port int = 1" in out
    assert "HEADRACE_DEMO_" in out
    assert "hunter2" not in out
