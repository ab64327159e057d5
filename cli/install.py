"""The first run: secrets of the installation, made once, readable by their owner alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cli.errors import CliError
from cli.layout import Layout
from services.gateway.adapters.keys import create_key
from services.gateway.domain.accounts.records import Role

ADMIN_TENANT = "default"


def install(layout: Layout) -> str:
    """Makes what is missing: state directory, internal token, pepper, keys file, admin key. Returns the admin key
    when it was made now, else "". Raises CliError where the directory cannot be written.
    """
    make_directories(layout)
    try:
        if not layout.token_file.exists():
            write_private(layout.token_file, secrets.token_hex(32))
        # Without its record a key file is worthless, and the other way round: both are made anew together.
        if layout.admin_key_file.exists() and layout.keys_file.exists() and layout.pepper_file.exists():
            return ""
        key = create_key(layout.keys_file, layout.pepper_file, ADMIN_TENANT, "admin", role=Role.ADMIN)
        write_private(layout.admin_key_file, key)
    except OSError as problem:
        raise _unwritable(layout, problem) from problem
    return key


def make_directories(layout: Layout) -> None:
    """Makes those that tell of calls for their owner alone; the state directory stays as it is where it is there.

    Raises CliError where they cannot be made.
    """
    try:
        layout.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for directory in (layout.run, layout.logs):
            directory.mkdir(exist_ok=True, mode=0o700)
    except OSError as problem:
        raise _unwritable(layout, problem) from problem


def _unwritable(layout: Layout, problem: OSError) -> CliError:
    return CliError(f"{layout.root} cannot be set up: {problem}", "give a directory you can write with --state-dir")


def admin_key(layout: Layout) -> str:
    """The admin key of this installation, "" where there is none."""
    try:
        return layout.admin_key_file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def write_private(path: Path, text: str) -> None:
    """Mode 600 from the first byte on, and whole or not at all."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
