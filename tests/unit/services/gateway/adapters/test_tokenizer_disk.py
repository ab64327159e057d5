from __future__ import annotations

import pytest

from services.gateway.adapters.tokenizer_disk import TokenizerDisk

FILES = {"tokenizer.json": b"{}", "chat_template.jinja": b"hi"}


def test_what_is_written_is_read_and_replaced(tmp_path):
    disk = TokenizerDisk(tmp_path / "new" / "place")
    assert disk.read("d1") == {}
    disk.write("d1", FILES)
    assert disk.read("d1") == FILES
    disk.write("d1", {"tokenizer.json": b"2"})
    assert disk.read("d1") == {"tokenizer.json": b"2"}
    assert [path.name for path in (tmp_path / "new" / "place").iterdir()] == ["d1"]


@pytest.mark.parametrize("harm", ["change", "add", "remove", "sums"])
def test_what_was_changed_is_not_believed(tmp_path, harm):
    disk = TokenizerDisk(tmp_path)
    disk.write("d1", FILES)
    place = tmp_path / "d1"
    if harm == "change":
        (place / "tokenizer.json").write_bytes(b"{ }")
    elif harm == "add":
        (place / "extra").write_bytes(b"")
    elif harm == "remove":
        (place / "chat_template.jinja").unlink()
    else:
        (place / "SHA256SUMS").unlink()
    assert disk.read("d1") == {}


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "/etc"])
def test_names_never_leave_the_directory(tmp_path, name):
    root = tmp_path / "root"
    disk = TokenizerDisk(root)
    disk.write(name, FILES)
    disk.write("d1", {name: b"x"})
    assert not root.exists()
    assert disk.read(name) == {}


def test_a_disk_that_refuses_costs_nothing(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    TokenizerDisk(blocked).write("d1", FILES)
    assert TokenizerDisk(blocked).read("d1") == {}
