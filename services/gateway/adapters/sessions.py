"""Owners of sessions in Valkey: field `owner` of the hash that the router keeps the binding in."""

from __future__ import annotations

from libs.valkey import FunctionLibrary, Valkey

# The owner is set once. Only its own calls renew the idle time: nobody keeps another's session alive.
OWNERS = FunctionLibrary(
    "owners",
    """
redis.register_function('@library@_claim', function(keys, args)
  redis.call('HSETNX', keys[1], 'owner', args[1])
  local owner = redis.call('HGET', keys[1], 'owner')
  if owner == args[1] then
    redis.call('EXPIRE', keys[1], args[2])
  end
  return owner
end)
""",
)


class ValkeyOwners:
    """See ports.Owners. `idle_seconds`: how long an unused session is remembered."""

    def __init__(self, valkey: Valkey, idle_seconds: int) -> None:
        self._valkey = valkey
        self._idle_seconds = idle_seconds

    async def claim(self, tenant: str, session: str, owner: str) -> str:
        """See ports.Owners."""
        key = session_key(tenant, session)
        holder: bytes = await self._valkey.call(OWNERS, "claim", [key], [owner, self._idle_seconds])
        return holder.decode()


def session_key(tenant: str, session: str) -> str:
    """The hash of a session; the tenant is the cluster's hash tag, so that one tenant's keys live together."""
    return f"hr:session:{{{tenant}}}:{session}"
