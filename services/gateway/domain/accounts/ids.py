"""Ids of tenants, users and keys, and names of models. Ids become parts of store keys: few characters are allowed."""

from __future__ import annotations

import re

from libs.errors import PlatformError, Reason
from libs.ids import RandomBytes

ID_CHARS_MAX = 64
MODEL_CHARS_MAX = 128
# No "{", "}", ":" (they have a meaning in store keys), no "/" (joins tenant and key in the index), no spaces.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)


def check_id(value: object, what: str) -> str:
    """The id as it is; raises INVALID_REQUEST. `what` names the field."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        message = (
            f"{what} is no valid id: use 1 to {ID_CHARS_MAX} letters, digits, '.', '_', '-' or '@', "
            "beginning with a letter or digit."
        )
        raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param=what)
    return value


def check_model(value: object, what: str = "model") -> str:
    """The name of a model or pool as it is; raises INVALID_REQUEST."""
    usable = isinstance(value, str) and 0 < len(value) <= MODEL_CHARS_MAX and value.isprintable() and " " not in value
    if not usable or not isinstance(value, str):
        message = f"{what} is no name of a model: use 1 to {MODEL_CHARS_MAX} printable characters without spaces."
        raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param=what)
    return value


def key_id(random_bytes: RandomBytes) -> str:
    """The id of a new key; it is no secret and tells nothing of the key's text."""
    return "key_" + random_bytes(12).hex()
