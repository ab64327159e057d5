"""Replays of request traces over simulated workers, on a virtual clock: what placement does to caches and TTFT."""
