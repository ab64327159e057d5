"""Cache salts: engines mix them into the hashes of KV blocks, so that tenants share no prefix cache."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

TENANTS_KEPT_MAX = 4096


class CacheSalts:
    """`salt(tenant)`: hex, 32 digits, the same on every gateway of an installation and useless without its secret."""

    def __init__(self, secret: bytes) -> None:
        def salt(tenant: str) -> str:
            return hmac.new(secret, tenant.encode(), hashlib.sha256).hexdigest()[:32]

        self.salt = lru_cache(maxsize=TENANTS_KEPT_MAX)(salt)
