"""Bindings in Valkey: fields `worker` and `version` of the session's hash, which the gateway shares (`owner`)."""

from __future__ import annotations

from libs.valkey import FunctionLibrary, Valkey
from services.router.domain.binding import Binding, Bound, SessionKey

# One round trip, atomic. The expiry is written once per quarter of the TTL at most, by whichever replica comes first,
# and never shortened: the gateway may want the hash for longer.
BINDINGS = FunctionLibrary(
    "bindings",
    """
server.register_function('@library@_bind', function(keys, args)
  local key, wanted, expected, ttl_ms = keys[1], args[1], tonumber(args[2]), tonumber(args[3])
  local stored = server.call('HMGET', key, 'worker', 'version')
  local worker, version = stored[1], tonumber(stored[2] or 0)
  local written = 0
  if not worker or (version == expected and worker ~= wanted) then
    worker, version, written = wanted, math.max(version, expected) + 1, 1
    server.call('HSET', key, 'worker', worker, 'version', version)
  end
  if server.call('PTTL', key) < ttl_ms * 0.75 then
    server.call('PEXPIRE', key, ttl_ms)
  end
  return {worker, version, written}
end)
""",
)


class ValkeyBindings:
    """See BindingStore. `ttl_seconds` after its last use a session has no binding."""

    def __init__(self, valkey: Valkey, ttl_seconds: int) -> None:
        self._valkey = valkey
        self._ttl_ms = ttl_seconds * 1000

    @property
    def up(self) -> bool:
        """See BindingStore."""
        return self._valkey.up

    async def bind(self, key: SessionKey, worker: str, version: int) -> Bound:
        """See BindingStore."""
        name = f"hr:session:{{{key.tenant}}}:{key.session}"
        reply = await self._valkey.call(BINDINGS, "bind", [name], [worker, version, self._ttl_ms])
        return Bound(Binding(reply[0].decode(), int(reply[1])), written=bool(reply[2]))
