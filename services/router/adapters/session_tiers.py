"""Session routes in Valkey: fields `route` and `route_version` of the session's hash, shared with its binding."""

from __future__ import annotations

import json

from libs.valkey import FunctionLibrary, Valkey
from services.router.domain.binding import SessionKey
from services.router.domain.policy.session import NOTHING, SessionRoute
from services.router.domain.session_routes import StoredRoute
from services.router.domain.tiers import RANK, Tier

# One round trip, atomic. A repeat of a save that was made finds its own text there and changes nothing. The expiry is
# that of the binding: written once per quarter of the TTL at most, and never shortened.
SESSION_ROUTES = FunctionLibrary(
    "session_routes",
    """
server.register_function('@library@_save', function(keys, args)
  local key, wanted, expected, ttl_ms = keys[1], args[1], tonumber(args[2]), tonumber(args[3])
  local stored = server.call('HMGET', key, 'route', 'route_version')
  local route, version = stored[1] or '', tonumber(stored[2] or 0)
  if wanted ~= '' and route ~= wanted and (route == '' or version == expected) then
    route, version = wanted, math.max(version, expected) + 1
    server.call('HSET', key, 'route', route, 'route_version', version)
  end
  if route ~= '' and server.call('PTTL', key) < ttl_ms * 0.75 then
    server.call('PEXPIRE', key, ttl_ms)
  end
  return {route, version}
end)
""",
)


class ValkeySessionRoutes:
    """See SessionRoutes. `ttl_seconds` after its last use a session has no route."""

    def __init__(self, valkey: Valkey, ttl_seconds: int) -> None:
        self._valkey = valkey
        self._ttl_ms = ttl_seconds * 1000

    @property
    def up(self) -> bool:
        """See SessionRoutes."""
        return self._valkey.up

    async def save(self, key: SessionKey, route: SessionRoute, version: int) -> StoredRoute:
        """See SessionRoutes."""
        name = f"hr:session:{{{key.tenant}}}:{key.session}"
        reply = await self._valkey.call(SESSION_ROUTES, "save", [name], [encode(route), version, self._ttl_ms])
        return StoredRoute(decode(reply[0]), int(reply[1]))


def encode(route: SessionRoute) -> str:
    """Short, and the same for equal routes."""
    fields = [route.tier or "", route.turn, route.lower_turns, route.home or "", route.lifted_at, dict(route.variants)]
    return json.dumps(fields, separators=(",", ":"))


def decode(text: bytes) -> SessionRoute:
    """What `encode` made. What another version wrote and this one cannot read counts as nothing."""
    try:
        tier, turn, lower, home, lifted, variants = json.loads(text)
        pairs = tuple(sorted((str(pool), str(name)) for pool, name in variants.items()))
        return SessionRoute(_tier(tier), int(turn), int(lower), _tier(home), int(lifted), pairs)
    except (ValueError, TypeError, AttributeError):
        return NOTHING


def _tier(text: str) -> Tier | None:
    return Tier(text) if text in RANK else None
