"""What a choice stands on, in memory: what the contract tests hold against the stores in Valkey."""

from __future__ import annotations

from dataclasses import replace

from libs.errors import PlatformError, Reason
from services.router.composition.choice import ChoicePorts
from services.router.domain.classifier.facts import Judgement
from services.router.domain.session_routes import StoredRoute


class FakeRoutes:
    """SessionRoutes; `up = False` plays its loss. `calls` counts the questions."""

    def __init__(self):
        self.up = True
        self.calls = 0
        self.stored = {}

    async def save(self, key, route, version):
        self.calls += 1
        if not self.up:
            raise PlatformError(Reason.STORE_UNAVAILABLE, "down", started=False)
        now = self.stored.get(key)
        if now is None or (now.version == version and now.route != route):
            now = StoredRoute(route, max(now.version if now else 0, version) + 1)
            self.stored[key] = now
        return now


class FakeVariants:
    """VariantStore over the settings' splits."""

    def __init__(self, base=()):
        self.up = True
        self.stored = dict(base)

    async def load(self, pools):
        if not self.up:
            raise PlatformError(Reason.STORE_UNAVAILABLE, "down", started=False)
        return {pool: self.stored[pool] for pool in pools}

    async def save(self, split, version):
        now = (await self.load([split.pool]))[split.pool]
        if now.version == version and now.variants != split.variants:
            now = self.stored[split.pool] = replace(split, version=version + 1)
        return now


class FakeJudge:
    """A Judge that reads the score off the text: "0.9", or anything else for "nothing speaks"."""

    def __init__(self):
        self.calls = 0

    def judge(self, facts):
        self.calls += 1
        try:
            score = float(facts.text.split()[0])
        except (ValueError, IndexError):
            return Judgement(None, unsure=True, score=0.5)
        return Judgement(1.0 - score, unsure=False, score=score, features=(("digits", score - 0.5),))


def choice_ports(splits=()):
    """A fresh set."""
    return ChoicePorts(FakeJudge(), FakeRoutes(), FakeVariants(splits))
