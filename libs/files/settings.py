"""How much may be kept as files, and for how long."""

from __future__ import annotations

from pydantic import Field

from libs.settings import SettingsGroup


class FileSettings(SettingsGroup):
    """Bounds of uploaded files."""

    # One file. OpenAI's batch inputs end at 200 MB; larger files take longer to check before their first request runs.
    bytes_max: int = Field(default=200 * 2**20, ge=1024, le=512 * 2**30)
    # Files that one tenant may have at once: each is a folder of blobs, and listing and purging read them all.
    per_tenant_max: int = Field(default=10_000, ge=1, le=1_000_000)
    # A file that names no time of its own is deleted after so long. 0 = never: then disks fill up by and by.
    expires_seconds_default: int = Field(default=30 * 86_400, ge=0)
    # Written at once, and held in memory per upload. Small ones cost a sync each, large ones memory.
    part_bytes: int = Field(default=4 * 2**20, ge=1024, le=64 * 2**20)
    # An upload that is not whole after so long is taken for abandoned and deleted by the purge. Shorter than a slow
    # upload takes = that upload is damaged; longer = dead bytes stay longer.
    abandoned_seconds: int = Field(default=86_400, ge=60)
