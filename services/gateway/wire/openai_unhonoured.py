"""Fields of other versions and servers of the API: refused where they would change the answer, else listed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from services.gateway.wire.refusals import from_msgspec, unsupported

# Field → what to use instead. Each of these would change the answer, so dropping one silently would be a lie.
_REFUSED: Mapping[str, str] = {
    "functions": "Use 'tools' instead.",
    "function_call": "Use 'tool_choice' instead.",
    "audio": "Answers are text.",
    "modalities": 'Answers are text: leave it out or send ["text"].',
    "prediction": "Leave it out.",
    "reasoning_effort": "Leave it out; models that reason do so by their template.",
    "verbosity": "Say in a system message how long the answer should be.",
    "web_search_options": "Offer a search tool in 'tools' instead.",
    "prompt": "Send 'messages'.",
    "input": "Send 'messages'.",
    "instructions": "Send a system message.",
    "best_of": "Use 'n' instead.",
    "suffix": "Leave it out.",
    "echo": "Leave it out.",
    "use_beam_search": "Leave it out.",
    "length_penalty": "Leave it out.",
    "bad_words": "Use 'logit_bias' instead.",
    "allowed_token_ids": "Use 'logit_bias' instead.",
    "stop_token_ids": "Use 'stop' instead.",
    "guided_json": "Use 'response_format' with type json_schema.",
    "guided_regex": "Use 'response_format' with type json_schema.",
    "guided_choice": "Use 'response_format' with type json_schema and an enum.",
    "guided_grammar": "Use 'response_format' with type json_schema.",
    "structured_outputs": "Use 'response_format' with type json_schema.",
    "chat_template": "Templates come with the model.",
    "chat_template_kwargs": "Templates come with the model.",
    "documents": "Put documents into a message.",
    "add_generation_prompt": "Leave it out.",
    "continue_final_message": "Leave it out.",
    "prompt_logprobs": "Use 'logprobs', which covers the answer.",
}
# Values that ask for what is done anyway.
_HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "modalities": (["text"],),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    "best_of": (1,),
    "echo": (False,),
    "use_beam_search": (False,),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "length_penalty": (1, 1.0),
    "chat_template_kwargs": ({},),
    "bad_words": ([],),
    "stop_token_ids": ([],),
    "functions": ([],),
    "documents": ([],),
}

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def ignored_fields(body: bytes, known: Iterable[str]) -> tuple[str, ...]:
    """Names of the body's fields that nobody here knows, sorted; fields that are null count as absent.

    Raises PlatformError(UNSUPPORTED_PARAMETER) for one that would change the answer.
    """
    extra = {name: bytes(raw) for name, raw in _fields.decode(body).items() if bytes(raw) != b"null"}
    for name in known:
        extra.pop(name, None)
    for name in sorted(extra.keys() & _REFUSED.keys()):
        if _value(extra[name], name) not in _HARMLESS.get(name, ()):
            raise unsupported(name, f"'{name}' is not supported here. {_REFUSED[name]}")
    return tuple(sorted(name[:100] for name in extra))


def _value(raw: bytes, name: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise from_msgspec(problem, name) from problem
