"""Callers without a key, as one principal: for loopback only, which the settings enforce."""

from __future__ import annotations

from services.gateway.domain.auth import well_formed
from services.gateway.domain.turns import Principal
from services.gateway.usecases.accounts.authenticator import KeyAuthenticator
from services.gateway.usecases.accounts.bootstrap import ANONYMOUS

NOBODY = Principal(ANONYMOUS.tenant, ANONYMOUS.id)


class AnonymousDoor:
    """See api.ports.Authenticator. Text that could not be a key of ours is no key; what could be one must be one.

    So clients that insist on sending some key are served, and an admin's key opens the admin API as ever.
    """

    def __init__(self, keys: KeyAuthenticator) -> None:
        self._keys = keys

    def known(self, presented: str) -> Principal | None:
        """See Authenticator."""
        return self._keys.known(presented) if well_formed(presented) else NOBODY

    async def authenticate(self, presented: str) -> Principal:
        """See Authenticator."""
        return await self._keys.authenticate(presented) if well_formed(presented) else NOBODY
