"""What only files show: modes, half-written blobs, links, and a disk that fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from libs.blobs import LocalBlobs
from libs.errors import PlatformError, Reason
from libs.testing.loop import run_real


def test_files_are_for_their_owner_alone(tmp_path):
    run_real(LocalBlobs(tmp_path / "blobs").put("a/b", b"secret"))
    modes = {
        path.name: oct(path.stat().st_mode & 0o777) for path in [tmp_path / "blobs", *tmp_path.rglob("blobs/**/*")]
    }
    assert modes == {"blobs": "0o700", "a": "0o700", "b": "0o600"}


def test_a_write_that_fails_leaves_the_old_blob_and_no_rest(tmp_path, monkeypatch):
    blobs = LocalBlobs(tmp_path)
    run_real(blobs.put("a/b", b"old"))

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PlatformError) as caught:
        run_real(blobs.put("a/b", b"new"))
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert "No space left" in caught.value.message
    assert run_real(blobs.get("a/b")) == b"old"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_the_blob_and_every_folder_on_its_way_are_synced_before_put_returns(tmp_path, monkeypatch):
    synced = []
    real = os.fsync

    def noted(descriptor):
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    run_real(LocalBlobs(tmp_path / "r").put("a/b", b"1"))
    names = [os.path.relpath(path, tmp_path) for path in synced]
    # Each folder's parent when it is made, then the file under its passing name, then the folder of the move.
    assert names[:2] == [".", "r"]
    assert names[2].startswith("r/a/.")
    assert names[3:] == ["r/a"]
    synced.clear()
    run_real(LocalBlobs(tmp_path / "r", fsync=False).put("a/c", b"1"))
    assert synced == []


def test_what_a_crash_left_half_written_is_no_blob_and_goes_with_its_folder(tmp_path):
    blobs = LocalBlobs(tmp_path)
    run_real(blobs.put("a/b", b"1"))
    (tmp_path / "a" / ".0123.part").write_bytes(b"half")
    assert list(run_real(blobs.list(""))) == ["a/b"]
    assert run_real(blobs.delete_prefix("a/")) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_link_out_of_the_directory_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"pepper")
    root = tmp_path / "root"
    blobs = LocalBlobs(root)
    run_real(blobs.put("a/b", b"1"))
    (root / "a" / "link").symlink_to(secret)
    with pytest.raises(PlatformError):
        run_real(blobs.get("a/link"))
    assert list(run_real(blobs.list(""))) == ["a/b"]
