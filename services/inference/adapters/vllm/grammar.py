"""Decides which grammars the engine may see."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Protocol

from libs.errors import PlatformError, Reason
from services.inference.domain.request import Guided

_VERDICTS_MAX = 1024
# xgrammar's messages begin with a time and a place in its C++ source.
_PLACE = re.compile(r"^\[[\d:]+\] \S+:\d+: ")


class Sandbox(Protocol):
    """See GrammarSandbox."""

    def verdict(self, kind: str, text: str) -> str | None:
        """None when the grammar compiles, else why not. Blocks; raises OSError when there is no sandbox."""
        ...


class Grammars:
    """Verdicts on grammars, remembered. `known` and `learn` run on the event loop, `try_out` blocks in a thread."""

    def __init__(self, sandbox: Sandbox, bytes_max: int) -> None:
        self._sandbox = sandbox
        self._bytes_max = bytes_max
        self._verdicts: OrderedDict[tuple[str, str], str | None] = OrderedDict()

    def known(self, guided: Guided) -> bool:
        """True when the grammar is allowed, False when it must be tried out first. Raises PlatformError if refused."""
        if guided.json_object:
            return True
        key = _key(guided)
        if len(key[1].encode()) > self._bytes_max:
            raise _refusal(f"it is longer than {self._bytes_max} bytes")
        if key not in self._verdicts:
            return False
        self._verdicts.move_to_end(key)
        if (verdict := self._verdicts[key]) is not None:
            raise _refusal(verdict)
        return True

    def try_out(self, guided: Guided) -> str | None:
        """Compiles the grammar in the sandbox; returns why it cannot be used, None when it can.

        Raises PlatformError(ENGINE_DEAD) when there is no sandbox any more.
        """
        try:
            verdict = self._sandbox.verdict(*_key(guided))
        except OSError as error:
            raise PlatformError(
                Reason.ENGINE_DEAD, "the worker's grammar sandbox has ended: the worker must restart", started=False
            ) from error
        return verdict and _PLACE.sub("", verdict).strip()

    def learn(self, guided: Guided, verdict: str | None) -> None:
        """Remembers a verdict. Raises PlatformError(INVALID_SCHEMA) when it is a refusal."""
        self._verdicts[_key(guided)] = verdict
        if len(self._verdicts) > _VERDICTS_MAX:
            self._verdicts.popitem(last=False)
        if verdict is not None:
            raise _refusal(verdict)


def _key(guided: Guided) -> tuple[str, str]:
    if guided.json_schema is not None:
        return "json_schema", guided.json_schema
    return "regex", guided.regex or ""


def _refusal(why: str) -> PlatformError:
    return PlatformError(
        Reason.INVALID_SCHEMA, f"the schema cannot be used: {why}", started=False, param="response_format"
    )
