"""Names of a job's blobs: one folder per job, so that forgetting it deletes all of them at once."""

from __future__ import annotations

# What is larger stands in a blob, beside the store.
INLINE_BYTES_MAX = 64 * 1024


def folder(tenant: str, job: str) -> str:
    """The prefix of everything that a job has in blobs."""
    return f"jobs/{tenant}/{job}/"


def work_folder(tenant: str, job: str, nonce: str) -> str:
    """The prefix of a job's requests. `nonce` is drawn for each time that a job of that id is created: what is left of
    one that was refused can be deleted while the same id is accepted anew.
    """
    return f"{folder(tenant, job)}work-{nonce}/"


def result_blob(tenant: str, job: str, step: int, epoch: int) -> str:
    """The body of an answer; each attempt writes its own, so that a stale one overwrites nothing."""
    return f"{folder(tenant, job)}result-{step}-{epoch}"
