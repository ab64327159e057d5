"""Where the platform keeps things below its state directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The files and directories of one installation; `root` is `.headrace` unless told otherwise."""

    root: Path

    @property
    def run(self) -> Path:
        """What is true of the running platform only."""
        return self.root / "run"

    @property
    def state_file(self) -> Path:
        """Written by the supervisor, read by `status` and `down`."""
        return self.run / "state.json"

    @property
    def lock_file(self) -> Path:
        """Held (flock) by the supervisor for as long as it lives."""
        return self.run / "up.lock"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.root / "logs"

    @property
    def valkey(self) -> Path:
        """The store's append-only file."""
        return self.root / "valkey"

    @property
    def models(self) -> Path:
        """Converted models, one directory each."""
        return self.root / "models"

    @property
    def keys_file(self) -> Path:
        """API keys as HMACs."""
        return self.root / "keys.json"

    @property
    def pepper_file(self) -> Path:
        """The secret that turns a key into its HMAC."""
        return self.root / "pepper"

    @property
    def token_file(self) -> Path:
        """The token of internal RPCs."""
        return self.root / "internal.token"

    @property
    def admin_key_file(self) -> Path:
        """The first key, in plain text, readable by its owner alone."""
        return self.root / "admin.key"
