"""Variants of a pool: how calls are split between them, and when one is stopped."""
