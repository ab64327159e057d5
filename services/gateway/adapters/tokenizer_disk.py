"""Tokenizer files on disk, by digest, so that a restarted gateway needs no worker to tokenise."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_SUMS = "SHA256SUMS"


class TokenizerDisk:
    """Directories `<root>/<digest>`, written whole or not at all. Methods block: call them from a thread.

    The disk is a cache: what cannot be read or written costs a fetch, never a call.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, digest: str) -> dict[str, bytes]:
        """The files of `digest`; empty when they are not there or were changed since they were written."""
        if not _NAME.fullmatch(digest):
            return {}
        directory = self._root / digest
        try:
            files = {path.name: path.read_bytes() for path in directory.iterdir() if path.name != _SUMS}
            sums = (directory / _SUMS).read_text()
        except (OSError, UnicodeDecodeError):
            return {}
        return files if sums == _sums(files) else {}

    def write(self, digest: str, files: Mapping[str, bytes]) -> None:
        """Keeps `files` under `digest`, replacing what is there; does nothing for unfit names or a full disk."""
        if not all(_NAME.fullmatch(name) for name in (digest, *files)):
            return
        try:
            self._replace(digest, files)
        except OSError:
            return

    def _replace(self, digest: str, files: Mapping[str, bytes]) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._root, prefix=".new-") as scratch:
            made = Path(scratch) / digest
            made.mkdir()
            for name, content in files.items():
                (made / name).write_bytes(content)
            (made / _SUMS).write_text(_sums(files))
            target = self._root / digest
            shutil.rmtree(target, ignore_errors=True)
            made.replace(target)


def _sums(files: Mapping[str, bytes]) -> str:
    """In the form of `sha256sum`, so that people can check it."""
    return "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
