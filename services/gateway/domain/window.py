"""How long an answer may get: the client's wish against the model's context window."""

from __future__ import annotations

from libs.errors import PlatformError, Reason


def answer_tokens(prompt_tokens: int, window_tokens: int, wanted: int | None, default_max: int) -> int:
    """Bound on new tokens. Without a wish it is what the window leaves, at most `default_max`.

    Raises CONTEXT_LENGTH_EXCEEDED, in OpenAI's words, when prompt and answer do not fit together.
    """
    left = window_tokens - prompt_tokens
    if wanted is None:
        if left < 1:
            raise _exceeded(
                f"This model's maximum context length is {window_tokens} tokens. However, your messages resulted in "
                f"{prompt_tokens} tokens. Please reduce the length of the messages."
            )
        return min(left, default_max)
    if wanted > left:
        raise _exceeded(
            f"This model's maximum context length is {window_tokens} tokens. However, you requested "
            f"{prompt_tokens + wanted} tokens ({prompt_tokens} in the messages, {wanted} in the completion). "
            f"Please reduce the length of the messages or completion."
        )
    return wanted


def _exceeded(message: str) -> PlatformError:
    return PlatformError(Reason.CONTEXT_LENGTH_EXCEEDED, message, started=False, param="messages")
