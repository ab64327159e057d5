"""Makes .venv: the hash-locked packages and the project itself. Run by `make`, on any Python 3, before anything exists.

Does nothing when .venv already is what the lock says: the stamp in it holds the hash of all that went in.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".setup"
INPUTS = ("requirements/all.txt", "requirements/uv.txt", "tools/setup.py")
# What the locked packages have wheels for.
VERSIONS = ((3, 11), (3, 12), (3, 13), (3, 14))


class SetupError(Exception):
    """What went wrong and what to do about it."""


def say(text: str) -> None:
    """Tells the user what happens now."""
    print(f"setup: {text}", flush=True)


def wanted() -> str:
    """The hash of everything that .venv is made from."""
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def ready() -> bool:
    """Whether .venv is up to date and its Python still exists."""
    return STAMP.is_file() and STAMP.read_text() == wanted() and (VENV / "bin" / "python").exists()


def environment() -> dict[str, str]:
    """The environment for installers.

    Bytecode must be written, or importing vLLM takes 24 s instead of 11. uv trusts the machine's certificates, as pip
    does, where there are any: behind a company's proxy its own list does not suffice.
    """
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")}
    if ssl.get_default_verify_paths().cafile:
        kept.setdefault("UV_SYSTEM_CERTS", "true")
    return kept


def call(*command: object) -> None:
    """Runs a command, shows it fail; raises SetupError."""
    words = [str(word) for word in command]
    if subprocess.run(words, cwd=ROOT, env=environment(), check=False).returncode != 0:
        raise SetupError(f"this command failed, see above: {' '.join(words)}")


def version_of(python: str) -> tuple[int, ...] | None:
    """Major and minor version of an interpreter; None when it does not run."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return tuple(int(part) for part in answer.split())


def find_python() -> str:
    """The interpreter that runs this when it is a supported one, else the first supported one on the path."""
    names = [sys.executable, *(f"python{major}.{minor}" for major, minor in VERSIONS)]
    for found in filter(None, map(shutil.which, names)):
        if version_of(found) in VERSIONS:
            return found
    versions = ", ".join(f"{major}.{minor}" for major, minor in VERSIONS)
    raise SetupError(f"needs Python {versions} (this is {sys.version.split()[0]}); install one or run make PYTHON=PATH")


def make_venv(python: str) -> None:
    """A fresh or matching .venv with pip in it."""
    own = VENV / "bin" / "python"
    if own.exists() and version_of(str(own)) == version_of(python):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    say(f"making .venv with {python}")
    try:
        call(python, "-m", "venv", VENV)
    except SetupError as error:
        shutil.rmtree(VENV, ignore_errors=True)
        raise SetupError("`python -m venv` failed; on Debian and Ubuntu: apt install python3-venv") from error


def find_uv() -> str:
    """The uv of .venv, installed there by pip when it is missing."""
    uv = VENV / "bin" / "uv"
    if not uv.exists():
        say("installing uv into .venv")
        pip = (VENV / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")
        call(*pip, "install", "--require-hashes", "-r", "requirements/uv.txt")
    return str(uv)


def install(uv: str) -> None:
    """Exactly the locked packages, then the project itself (editable, so that the checkout is what runs)."""
    python = ("--python", VENV / "bin" / "python")
    say("installing the locked packages (some minutes the first time, nothing when they are there)")
    quiet = () if sys.stdout.isatty() else ("--quiet",)  # progress for people, no list of 200 packages in a log
    call(uv, "pip", "sync", *quiet, *python, "--require-hashes", "--compile-bytecode", "requirements/all.txt")
    call(uv, "pip", "install", *python, "--quiet", "--no-deps", "--no-build-isolation", "--editable", ".")


def main() -> int:
    """Returns the exit status."""
    if ready():
        return 0
    began = time.monotonic()
    try:
        make_venv(find_python())
        uv = find_uv()
        STAMP.unlink(missing_ok=True)
        install(uv)
    except SetupError as error:
        say(str(error))
        return 1
    STAMP.write_text(wanted())
    say(f".venv is ready after {time.monotonic() - began:.0f} s; the command is .venv/bin/headrace")
    return 0


if __name__ == "__main__":
    sys.exit(main())
