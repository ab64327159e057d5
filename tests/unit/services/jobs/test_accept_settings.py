"""Who may submit through Kafka, and what is accepted."""

from __future__ import annotations

import pytest

from libs.settings import SettingsError
from libs.settings.load import parse
from services.jobs.accept_settings import AcceptSettings, ProducerSettings, producers_of
from services.jobs.settings import JobsSettings


def secret(path, text="s" * 32, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return path


def producer(*files, name="memory", tenants=("acme",)):
    return ProducerSettings(name=name, secret_files=files, tenants=tenants)


def test_secrets_are_read_from_files(tmp_path):
    old, new = secret(tmp_path / "old", "o" * 32), secret(tmp_path / "new", "n" * 32 + "\n")
    found = producers_of([producer(old, new)])["memory"]
    assert (list(found.secrets), found.tenants) == ([b"o" * 32, b"n" * 32], frozenset({"acme"}))


@pytest.mark.parametrize(("text", "mode"), [("short", 0o600), ("", 0o600), ("s" * 32, 0o644)])
def test_secrets_that_protect_nothing_are_refused_and_not_told(tmp_path, text, mode):
    with pytest.raises(SettingsError) as raised:
        producers_of([producer(secret(tmp_path / "x", text, mode))])
    assert not text or text not in str(raised.value)


def test_a_name_stands_once(tmp_path):
    file = secret(tmp_path / "x")
    with pytest.raises(SettingsError, match="twice"):
        producers_of([producer(file), producer(file, tenants=("other",))])


def test_the_default_is_within_the_limits():
    with pytest.raises(ValueError, match="expires_seconds_default"):
        AcceptSettings(expires_seconds_default=7200, expires_seconds_max=3600)
    limits = AcceptSettings(requests_max=5, part_requests=2).limits(plain_http=True)
    assert (limits.requests_max, limits.part_requests, limits.plain_http) == (5, 2, True)


def test_they_can_be_told(tmp_path):
    flags = ["--kafka.brokers", '["x:1"]', "--accept.part_requests", "4", "--watch.poll_seconds", "1"]
    told = f'[{{"name": "memory", "secret_files": ["{tmp_path}/x"], "tenants": ["*"]}}]'
    settings = parse(JobsSettings, [*flags, "--producers", told], {}).settings
    assert (settings.accept.part_requests, settings.watch.times().poll, settings.producers[0].name) == (
        4,
        1.0,
        "memory",
    )
    with pytest.raises(SettingsError):
        parse(JobsSettings, [*flags, "--producers", '[{"name": "memory", "tenants": ["*"]}]'], {})
