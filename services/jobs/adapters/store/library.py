"""The function library of jobs, put together from its Lua files."""

from __future__ import annotations

from importlib import resources

from libs.valkey import FunctionLibrary

_FILES = ("1_records.lua", "2_acceptance.lua", "3_attempts.lua", "4_reads.lua", "5_agenda.lua")
# Every tenant that has, or had, jobs: a set.
TENANTS = "hr:jobs:{_platform}:tenants"


def jobs_library() -> FunctionLibrary:
    """All functions take the tenant's prefix as their one key."""
    folder = resources.files("services.jobs.adapters.store") / "functions"
    return FunctionLibrary("jobs", "\n".join((folder / name).read_text(encoding="utf-8") for name in _FILES))


JOBS = jobs_library()


def prefix_of(tenant: str) -> str:
    """The key that all keys of a tenant's jobs begin with; its hash tag keeps them in one slot."""
    return f"hr:jobs:{{{tenant}}}"
