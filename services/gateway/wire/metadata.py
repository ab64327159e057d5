"""A request's `metadata`: tags that flow into usage, within OpenAI's bounds."""

from __future__ import annotations

from services.gateway.wire.refusals import invalid

PAIRS_MAX = 16
KEY_CHARACTERS_MAX = 64
VALUE_CHARACTERS_MAX = 512


def metadata_of(given: dict[str, str]) -> dict[str, str]:
    """The pairs as they are; raises INVALID_REQUEST for too many or too long ones."""
    if len(given) > PAIRS_MAX:
        raise invalid("metadata", f"'metadata' may hold at most {PAIRS_MAX} pairs.")
    for key, value in given.items():
        if len(key) > KEY_CHARACTERS_MAX or len(value) > VALUE_CHARACTERS_MAX:
            raise invalid(
                "metadata",
                f"Keys of 'metadata' take up to {KEY_CHARACTERS_MAX} characters, values up to {VALUE_CHARACTERS_MAX}.",
            )
    return given
