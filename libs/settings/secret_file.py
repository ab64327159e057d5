"""Secrets live in files of mode 600, never in flags or the environment."""

from __future__ import annotations

from pathlib import Path

from libs.settings.errors import SettingsError

READABLE_BY_OTHERS = 0o007


def read_secret_file(path: Path, *, fix: str) -> str:
    """The stripped text of `path`. `fix` says how to make the file. Raises SettingsError.

    Group bits are allowed: Kubernetes sets them on mounted secrets of a pod with an fsGroup.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: cannot be read ({error}); {fix}"]) from error
    if mode & READABLE_BY_OTHERS:
        raise SettingsError([f"{path}: every user of this machine can read this secret; run: chmod 600 {path}"])
    if not text:
        raise SettingsError([f"{path}: is empty; {fix}"])
    return text
