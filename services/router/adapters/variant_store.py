"""Weights of variants in Valkey: one small hash per pool, `weights` (JSON) and `version`. Kept until it is deleted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from libs.errors import PlatformError
from libs.valkey import FunctionLibrary, Valkey
from services.router.domain.variants.split import Split, Variant

# An empty text only reads. A save needs the version that is stored; a repeat finds its own text and changes nothing.
VARIANTS = FunctionLibrary(
    "variants",
    """
server.register_function('@library@_weights', function(keys, args)
  local key, wanted, expected = keys[1], args[1], tonumber(args[2])
  local stored = server.call('HMGET', key, 'weights', 'version')
  local weights, version = stored[1] or '', tonumber(stored[2] or 0)
  if wanted ~= '' and weights ~= wanted and version == expected then
    weights, version = wanted, version + 1
    server.call('HSET', key, 'weights', weights, 'version', version)
  end
  return {weights, version}
end)
""",
)


class ValkeyVariants:
    """See VariantStore. `base` are the settings: what the store does not know is as they say."""

    def __init__(self, valkey: Valkey, base: Mapping[str, Split]) -> None:
        self._valkey = valkey
        self._base = base

    async def load(self, pools: Sequence[str]) -> dict[str, Split]:
        """See VariantStore; all pools in one exchange."""
        replies = await self._valkey.call_all(VARIANTS, "weights", [(_key(pool), ("", 0)) for pool in pools])
        for reply in replies:
            if isinstance(reply, PlatformError):
                raise reply
        return {pool: _over(self._base[pool], reply) for pool, reply in zip(pools, replies, strict=True)}

    async def save(self, split: Split, version: int) -> Split:
        """See VariantStore."""
        weights = {each.name: [each.weight, each.stopped] for each in split.variants}
        text = json.dumps(weights, separators=(",", ":"), sort_keys=True)
        reply = await self._valkey.call(VARIANTS, "weights", [_key(split.pool)], [text, version])
        return _over(self._base[split.pool], reply)


def _key(pool: str) -> str:
    return f"hr:variants:{{{pool}}}"


def _over(base: Split, reply: tuple[bytes, int]) -> Split:
    """The settings with what is stored over them; a variant that the settings no longer have is left out.

    What another version wrote and this one cannot read counts as nothing.
    """
    text, version = reply
    try:
        stored = json.loads(text or b"{}")
        variants = tuple([_stored(each, stored) for each in base.variants])
    except (ValueError, TypeError, AttributeError, LookupError):
        variants = base.variants
    return replace(base, variants=variants, version=int(version))


def _stored(variant: Variant, stored: Mapping[str, Sequence[int | str]]) -> Variant:
    found = stored.get(variant.name)
    return variant if found is None else replace(variant, weight=int(found[0]), stopped=str(found[1]))
