"""What an API key is: its form, how it is stored, how it is presented. No I/O here."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.records import Role

PREFIX = "sk-hr-"
SECRET_BYTES = 24
_KEY = re.compile(rf"{PREFIX}[0-9a-f]{{{2 * SECRET_BYTES}}}", re.ASCII)
# Longer ones are no keys of ours: they are refused before anything is hashed.
KEY_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key of the keys file. `hmac_hex` is HMAC-SHA-256 of the key under the pepper; `created` is ISO 8601, UTC.

    `revoked`: it is in the file only so that every gateway learns that it must not be accepted any more.
    """

    id: str
    tenant: str
    hmac_hex: str
    created: str
    name: str
    role: Role = Role.SERVICE
    revoked: bool = False


def hash_key(pepper: bytes, presented: str) -> str:
    """HMAC-SHA-256 of a key under the pepper, hex: what the keys file holds instead of the key."""
    return hmac.new(pepper, presented.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def format_key(secret: bytes) -> str:
    """The text of a new key: "sk-hr-" and the secret in hex."""
    return PREFIX + secret.hex()


def well_formed(presented: str) -> bool:
    """Whether the text could be a key of ours; what is not needs no look into the store."""
    return _KEY.fullmatch(presented) is not None


def hint_of(key: str) -> str:
    """What is shown of a key, for people to tell theirs apart: its last four characters."""
    return key[-4:]


def bearer(header: str) -> str:
    """The key in an Authorization header's value; "" where there is none."""
    scheme, _, credentials = header.partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else ""


def refusal(presented: str) -> PlatformError:
    """The 401 for a missing or unknown key; never says anything about the key itself."""
    problem = "The API key is not valid" if presented else "No API key was given"
    return PlatformError(
        Reason.INVALID_API_KEY,
        f"{problem}. Send 'Authorization: Bearer {PREFIX}…' with a key made by `headrace keys create`.",
        started=False,
    )
