from __future__ import annotations

from pathlib import Path

import pytest

from libs.settings import SettingsError
from libs.settings.load import parse
from services.jobs.settings import JobsSettings

BROKERS = ("--kafka.brokers", '["127.0.0.1:9092"]')


def loaded(*flags: str) -> JobsSettings:
    return parse(JobsSettings, [*BROKERS, *flags], {}).settings


def test_brokers_are_needed_and_the_error_says_who_lists_them():
    with pytest.raises(SettingsError, match="headrace up"):
        parse(JobsSettings, [], {})


def test_blobs_are_where_gateways_have_theirs():
    assert loaded("--state_dir", "/x").blobs_path == Path("/x/blobs")
    assert loaded("--blobs_directory", "/y").blobs_path == Path("/y")


def test_roles():
    assert loaded().consumes
    assert not loaded("--roles", '["api"]').consumes
    with pytest.raises(SettingsError):
        loaded("--roles", "[]")


@pytest.mark.parametrize(
    "flags",
    [
        ("--attempts.retry_seconds", "10"),
        ("--agenda.pace_seconds", "6"),
        ("--edge.gateways", "[]"),
        ("--gate.headroom", "1"),
    ],
)
def test_what_contradicts_itself_is_refused(flags):
    with pytest.raises(SettingsError):
        loaded(*flags)
