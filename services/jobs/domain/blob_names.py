"""Names of a job's blobs: one folder per job, so that forgetting it deletes all of them at once."""

from __future__ import annotations

# What is larger stands in a blob, beside the store.
INLINE_BYTES_MAX = 64 * 1024


def folder(tenant: str, job: str) -> str:
    """The prefix of everything that a job has in blobs."""
    return f"jobs/{tenant}/{job}/"


def work_blob(tenant: str, job: str, step: int) -> str:
    """A request: headrace.gateway.v1.Work, encoded."""
    return f"{folder(tenant, job)}work-{step}"


def result_blob(tenant: str, job: str, step: int, epoch: int) -> str:
    """The body of an answer; each attempt writes its own, so that a stale one overwrites nothing."""
    return f"{folder(tenant, job)}result-{step}-{epoch}"
