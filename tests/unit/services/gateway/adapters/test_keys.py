"""The keys file: made, read again, revoked; the pepper stays private."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from libs.errors import PlatformError
from services.gateway.adapters.keys import KeysFile, create_key, list_keys, read_pepper, revoke_key
from services.gateway.domain.accounts.records import Role
from services.gateway.domain.auth import hash_key, well_formed


@pytest.fixture
def files(tmp_path):
    return tmp_path / "state" / "keys.json", tmp_path / "state" / "pepper"


def test_a_created_key_is_stored_as_its_hmac_and_nowhere_else(files):
    keys, pepper = files
    key = create_key(keys, pepper, "acme", "laptop")
    assert well_formed(key)
    found = KeysFile(keys).read()[0]
    assert (found.tenant, found.hmac_hex) == ("acme", hash_key(read_pepper(pepper), key))
    assert (found.role, found.revoked) == (Role.SERVICE, False)
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
        read_pepper(files[1])


def test_a_missing_or_short_pepper_is_refused(files, tmp_path):
    with pytest.raises(PlatformError, match="cannot be read"):
        read_pepper(files[1])
    short = tmp_path / "short"
    short.write_bytes(b"abc")
    short.chmod(0o600)
    with pytest.raises(PlatformError, match="16 bytes"):
        read_pepper(short)


def test_a_missing_file_holds_no_keys(files):
    assert KeysFile(files[0]).read() == list_keys(files[0]) == []


def test_a_file_is_read_again_when_it_has_changed(files):
    key = create_key(*files, "acme", "laptop")
    live = KeysFile(files[0])
    assert live.changed()
    live.read()
    assert not live.changed()
    create_key(*files, "acme", "second", role=Role.ADMIN)
    assert live.changed()
    assert [(record.name, record.role) for record in live.read()] == [("laptop", "service"), ("second", "admin")]
    assert key not in str(live.read())


def test_a_revoked_key_stays_in_the_file_marked_and_is_not_listed(files):
    create_key(*files, "acme", "laptop")
    create_key(*files, "acme", "other")
    revoked = list_keys(files[0])[0].id
    live = KeysFile(files[0])
    live.read()
    assert revoke_key(files[0], revoked)
    assert live.changed()
    assert [(record.name, record.revoked) for record in live.read()] == [("laptop", True), ("other", False)]
    assert [record.name for record in list_keys(files[0])] == ["other"]
    assert not revoke_key(files[0], revoked)


def test_a_file_that_is_gone_is_an_accident_and_no_revocation(files):
    create_key(*files, "acme", "laptop")
    live = KeysFile(files[0])
    live.read()
    files[0].unlink()
    assert live.changed()
    with pytest.raises(PlatformError, match="is gone"):
        live.read()
    assert live.changed()


@pytest.mark.parametrize("tenant", ["", "a{b}", "a:b", "a b", "_platform", "a\n", "ä"])
def test_a_tenant_that_is_no_id_is_refused(files, tenant):
    with pytest.raises(PlatformError, match="tenant"):
        create_key(*files, tenant, "laptop")
    assert not files[0].exists()


def test_revoking_an_unknown_id_says_so(files):
    create_key(*files, "acme", "laptop")
    assert not revoke_key(files[0], "key_none")


def test_a_broken_file_is_said_to_be_broken_until_it_is_mended(files):
    create_key(*files, "acme", "laptop")
    live, good = KeysFile(files[0]), files[0].read_text()
    live.read()
    files[0].write_text("[{")
    with pytest.raises(PlatformError, match="not a JSON list"):
        live.read()
    assert live.changed()
    files[0].write_text(good)
    assert [record.name for record in live.read()] == ["laptop"]


def test_commands_at_the_same_time_lose_no_key(files):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: create_key(*files, "acme", f"k{i}"), range(8)))
    assert {r.name for r in list_keys(files[0])} == {f"k{i}" for i in range(8)}
