"""What the router may know of a turn to judge how hard it is: sizes, counts, and the newest user message.

One pass over the turns and a look at the last few; texts are measured, not read, except the newest user message and the
heads of the last tool results.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from services.gateway.domain.honour import FORCED_TOOLS
from services.gateway.domain.turns import ChatRequest, Role, Tool, Turn

TEXT_CHARACTERS_MAX = 8192
# Steps back that are looked at for errors and repeats: an agent that does the same three times in six is stalled.
STEPS = 6
# A tool says at its result's beginning, or at its end, that it failed; what is between may be about anything.
_HEAD, _TAIL = 240, 120
_SAID_FIRST = re.compile(
    r"[\s\[(*#<-]*(?:<\w{1,40}>\s*)?(?:[\w.]{0,60}(?:error|exception)\b|traceback|fatal|panic|failed|failure"
    r"|(?:[\w./-]{1,60}: ){0,3}(?:line \d+: )?(?:command not found|permission denied|no such file)|timed? ?out)"
)
_SAID_ANYWHERE = re.compile(
    r'"(?:error|err|errors|exception)"\s*:(?!\s*(?:null|false|""|\[\]|\{\}|0\b))|"(?:is_?error|failed|timed_?out)"\s*:\s*true'
    r'|"(?:success|ok)"\s*:\s*false|(?:exit|return)(?:ed)?(?: with)?[ _](?:code|status)"?\s*[:=]?\s*-?[1-9]'
)
# No pattern finds anything without one of these; looking for them is ten times cheaper.
_SIGNS = ('"err', '"exception', "error", "failed", "timed", '"success', '"ok"', "code", "status")


@dataclass(slots=True)
class TurnFacts:
    """See `Turn` in router.proto, whose fields these are. `text` is the client's: never logged."""

    text: str = ""
    text_characters: int = 0
    system_characters: int = 0
    context_characters: int = 0
    user_turns: int = 0
    tools: int = 0
    tool_depth: int = 0
    tool_errors: int = 0
    repeats: int = 0
    structured: bool = False


def turn_facts(request: ChatRequest) -> TurnFacts:
    """The facts of a request's last turn."""
    facts = TurnFacts(
        tools=len(request.tools),
        structured=request.guided is not None or (bool(request.tools) and request.tool_choice.mode in FORCED_TOOLS),
        context_characters=_tool_characters(request.tools),
    )
    newest = _measure(request.turns, facts)
    facts.text, facts.text_characters = cut(newest), len(newest)
    if request.turns and request.turns[-1].role is not Role.USER:
        facts.tool_depth = _depth(request.turns)
    if any(turn.role is Role.TOOL or turn.tool_calls for turn in request.turns):
        facts.tool_errors, facts.repeats = _steps(request.turns)
    return facts


def cut(text: str) -> str:
    """The beginning and the end of a text that is longer than a judge needs: tasks stand first, questions last."""
    if len(text) <= TEXT_CHARACTERS_MAX:
        return text
    half = TEXT_CHARACTERS_MAX // 2
    return text[:half] + text[-half:]


def failed(result: str) -> bool:
    """Whether a tool's result says that the tool failed; a guess, for no protocol has a field for it."""
    seen = result if len(result) <= _HEAD + _TAIL else result[:_HEAD] + result[-_TAIL:]
    seen = seen.lower()
    if _SAID_FIRST.match(seen) is not None or "traceback (most recent call last)" in seen:
        return True
    return any(sign in seen for sign in _SIGNS) and _SAID_ANYWHERE.search(seen) is not None


def _measure(turns: Iterable[Turn], facts: TurnFacts) -> str:
    """Counts characters and user turns; the newest user message."""
    newest, context, system, users = "", facts.context_characters, 0, 0
    for turn in turns:
        size = len(turn.text)
        context += size + len(turn.reasoning)
        role = turn.role
        if role is Role.USER:
            newest, users = turn.text, users + 1
        elif role is Role.SYSTEM:
            system += size
        for call in turn.tool_calls:
            context += len(call.name) + len(call.arguments_json)
    facts.context_characters, facts.system_characters, facts.user_turns = context, system, users
    return newest


def _tool_characters(tools: Iterable[Tool]) -> int:
    return sum([len(tool.name) + len(tool.description) + len(tool.parameters_json) for tool in tools])


def _depth(turns: tuple[Turn, ...]) -> int:
    """Tool results since the newest user message."""
    depth = 0
    for turn in reversed(turns):
        if turn.role is Role.USER:
            break
        depth += turn.role is Role.TOOL
    return depth


def _steps(turns: tuple[Turn, ...]) -> tuple[int, int]:
    """Failed ones among the last results, and how often the most frequent call or error stands among the last."""
    errors = [text[:_HEAD] for text in islice(_results(turns), STEPS) if failed(text)]
    calls = islice(_calls(turns), STEPS)
    return len(errors), max(_most(errors), _most(calls))


def _results(turns: tuple[Turn, ...]) -> Iterator[str]:
    return (turn.text for turn in reversed(turns) if turn.role is Role.TOOL)


def _calls(turns: tuple[Turn, ...]) -> Iterator[tuple[str, str]]:
    """Newest first."""
    for turn in reversed(turns):
        for call in reversed(turn.tool_calls):
            yield call.name, call.arguments_json


def _most(things: Iterable[object]) -> int:
    return max(Counter(things).values(), default=0)
