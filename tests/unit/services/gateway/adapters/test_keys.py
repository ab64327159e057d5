"""The keys file: made, followed, revoked; the pepper stays private."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from libs.errors import PlatformError, Reason
from services.gateway.adapters.keys import KeysFile, create_key, list_keys, read_pepper, revoke_key


@pytest.fixture
def files(tmp_path):
    return tmp_path / "state" / "keys.json", tmp_path / "state" / "pepper"


def test_a_created_key_is_accepted_and_stored_nowhere(files):
    keys, pepper = files
    key = create_key(keys, pepper, "acme", "laptop")
    assert key.startswith("sk-hr-")
    assert KeysFile(keys, pepper).authenticate(key).tenant == "acme"
    assert key not in keys.read_text() + pepper.read_text()
    assert key.removeprefix("sk-hr-") not in keys.read_text() + pepper.read_text()
    assert [r.name for r in list_keys(keys)] == ["laptop"]


def test_both_files_are_for_their_owner_alone(files):
    create_key(*files, "acme", "laptop")
    assert [f.stat().st_mode & 0o777 for f in files] == [0o600, 0o600]


def test_a_pepper_that_others_can_read_is_refused(files):
    create_key(*files, "acme", "laptop")
    files[1].chmod(0o640)
    with pytest.raises(PlatformError, match="chmod 600"):
        KeysFile(*files)


def test_a_missing_or_short_pepper_is_refused(files, tmp_path):
    with pytest.raises(PlatformError, match="cannot be read"):
        read_pepper(files[1])
    short = tmp_path / "short"
    short.write_bytes(b"abc")
    short.chmod(0o600)
    with pytest.raises(PlatformError, match="16 bytes"):
        read_pepper(short)


def test_without_keys_every_key_is_refused(files):
    key = create_key(*files, "acme", "laptop")
    files[0].unlink()
    with pytest.raises(PlatformError) as caught:
        KeysFile(*files).authenticate(key)
    assert caught.value.reason is Reason.INVALID_API_KEY


def test_a_revoked_key_is_refused_after_the_reload_though_it_was_cached(files):
    key = create_key(*files, "acme", "laptop")
    live = KeysFile(*files)
    live.authenticate(key)
    assert not live.reload_if_changed()
    assert revoke_key(files[0], list_keys(files[0])[0].id)
    live.authenticate(key)  # negative control: before the reload the old file is in force
    assert live.reload_if_changed()
    with pytest.raises(PlatformError):
        live.authenticate(key)


def test_revoking_an_unknown_id_says_so(files):
    create_key(*files, "acme", "laptop")
    assert not revoke_key(files[0], "key_none")


def test_a_broken_file_keeps_the_old_keys_in_force(files):
    key = create_key(*files, "acme", "laptop")
    live = KeysFile(*files)
    files[0].write_text("[{")
    with pytest.raises(PlatformError, match="not a JSON list"):
        live.reload_if_changed()
    assert live.authenticate(key).tenant == "acme"


def test_commands_at_the_same_time_lose_no_key(files):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: create_key(*files, "acme", f"k{i}"), range(8)))
    assert {r.name for r in list_keys(files[0])} == {f"k{i}" for i in range(8)}
