"""Replays of request traces over simulated workers, on a virtual clock: what a placement rule does to caches and TTFT."""
