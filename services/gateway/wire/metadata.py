"""A request's `metadata`: tags that flow into usage, within OpenAI's bounds."""

from __future__ import annotations

from collections.abc import Mapping

from services.gateway.wire.refusals import invalid

PAIRS_MAX = 16
TAGS = "tags"
KEY_CHARACTERS_MAX = 64
VALUE_CHARACTERS_MAX = 512


def metadata_of(given: Mapping[str, str | list[str]]) -> dict[str, str]:
    """The pairs as they are, and each of a list of "tags" as a pair with the value "true".

    Raises INVALID_REQUEST for too many or too long ones, and for other lists.
    """
    found: dict[str, str] = {}
    for key, value in given.items():
        if isinstance(value, str):
            found[key] = value
        elif key == TAGS:
            found |= dict.fromkeys(value, "true")
        else:
            raise invalid("metadata", "Values of 'metadata' are text; only 'tags' may be a list of texts.")
    if len(found) > PAIRS_MAX:
        raise invalid("metadata", f"'metadata' may hold at most {PAIRS_MAX} pairs.")
    for key, value in found.items():
        if len(key) > KEY_CHARACTERS_MAX or len(value) > VALUE_CHARACTERS_MAX:
            raise invalid(
                "metadata",
                f"Keys of 'metadata' take up to {KEY_CHARACTERS_MAX} characters, values up to {VALUE_CHARACTERS_MAX}.",
            )
    return found
