import socket

import pytest

from cli import doctor
from cli.config import Config, Ports
from cli.doctor import examine
from cli.install import install


@pytest.fixture
def config(tmp_path):
    return Config(
        state_dir=tmp_path / "state",
        ports=Ports(
            rest=28180, grpc=28190, router=28101, inside=28102, jobs=28104, workers=28111, valkey=28121, kafka=28131
        ),
    )


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch):
    """The services' own checks are run in tests/e2e/platform."""
    monkeypatch.setattr(doctor, "plan", lambda _: [])


def of(config, check):
    return [finding for finding in examine(config) if finding.check == check]


def test_every_trouble_comes_with_a_fix(config):
    assert all(finding.fix for finding in examine(config) if finding.level != "ok")


def test_a_port_in_use_is_found(config):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = config.model_copy(update={"ports": config.ports.model_copy(update={"rest": server.getsockname()[1]})})
        wrong = [finding for finding in of(taken, "port") if finding.level == "error"]
    assert len(wrong) == 1
    assert "--rest-port" in wrong[0].fix


def test_an_open_secret_is_found(config):
    install(config.layout)
    assert {finding.level for finding in of(config, "permissions")} == {"ok"}
    config.layout.admin_key_file.chmod(0o644)
    wrong = [finding for finding in of(config, "permissions") if finding.level == "error"]
    assert [finding.fix for finding in wrong] == [f"chmod 600 {config.layout.admin_key_file}"]


def test_a_missing_model_is_a_warning_because_up_makes_it(config):
    assert [finding.level for finding in of(config, "model")] == ["warning"]


def test_little_memory_and_disk_are_found(config, monkeypatch):
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: type("M", (), {"available": 1 << 30}))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("D", (), {"free": 1 << 20}))
    assert of(config, "memory")[0].level == "warning"
    assert of(config, "disk")[0].level == "error"


def test_a_state_file_of_another_shape_is_found(config):
    config.layout.run.mkdir(parents=True)
    config.layout.state_file.write_text("{")
    assert of(config, "state")[0].level == "error"
