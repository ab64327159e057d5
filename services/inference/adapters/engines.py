"""Builds the one engine of a worker, with what goes with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from libs.clock import Clock
from libs.settings import SettingsError, read_secret_file
from services.inference.adapters.detokenizers import TokenizerDetokenizers
from services.inference.adapters.model_files import ModelFiles, prefix_stability
from services.inference.adapters.simulated.engine import SimulatedEngine
from services.inference.adapters.simulated.stamps import StampDetokenizers
from services.inference.adapters.upstream.engine import UpstreamEngine
from services.inference.adapters.upstream.estimate import Estimate
from services.inference.domain.model import ModelCard
from services.inference.domain.output.parser import OutputParsers
from services.inference.ports import BlockSink, MessageEngine, TokenEngine
from services.inference.settings import InferenceSettings
from services.inference.usecases.outputs import Detokenizers

_UPSTREAM_WINDOW = 131_072


class ParsingEngine(TokenEngine, Protocol):
    """A token engine that brings its parsers, which may need the loaded model."""

    @property
    def parsers(self) -> OutputParsers:
        """Parsers of this engine's output; available once started."""
        ...


@dataclass(frozen=True)
class TokenSide:
    """A token engine and its model's files."""

    engine: ParsingEngine
    files: ModelFiles
    detokenizers: Detokenizers

    def count(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> tuple[str, list[int], int]:
        """See PromptCounter."""
        text, ids = self.files.count(messages, tools)
        return text, ids, len(ids)

    @property
    def estimated(self) -> bool:
        """See PromptCounter."""
        return False


@dataclass(frozen=True)
class MessageSide:
    """A message engine; lengths are estimated."""

    engine: MessageEngine
    counter: Estimate


OnDeath = Callable[[str], None]


def build_engine(
    settings: InferenceSettings, clock: Clock, on_death: OnDeath, blocks: BlockSink | None = None
) -> TokenSide | MessageSide:
    """The engine that the settings name, not started; `blocks` hears of its cache, None = nobody asks.

    Raises SettingsError when its files are not usable.
    """
    if settings.engine.kind == "upstream":
        return _upstream(settings, clock)
    try:
        window = settings.model.window_tokens or settings.vllm.window_tokens
        files = ModelFiles.load(settings.model.path, _adapters(settings), window)
        if settings.engine.kind == "simulated":
            return _simulated(settings, files, on_death, blocks)
    except ValueError as error:
        raise SettingsError([str(error)]) from error
    # vLLM itself is imported when the engine starts.
    from services.inference.adapters.vllm.engine import VllmEngine
    from services.inference.adapters.vllm.kv_stream import KvStream

    vllm = settings.vllm.model_copy(update={"window_tokens": window})
    kv = KvStream(blocks) if blocks is not None else None
    engine = VllmEngine(vllm, str(settings.model.path), clock=clock, on_death=on_death, kv=kv)
    return TokenSide(engine, files, TokenizerDetokenizers(files.tokenizer))


def model_card(settings: InferenceSettings, side: TokenSide | MessageSide, boot_id: str) -> ModelCard:
    """What DescribeModel says of the model."""
    files = side.files if isinstance(side, TokenSide) else None
    return ModelCard(
        worker=settings.name,
        boot_id=boot_id,
        model=settings.model.name,
        pools=settings.model.pools,
        # An endpoint of somebody else may change what it serves at any time: there is nothing to compare.
        model_digest=files.model_digest if files else "",
        tokenizer_digest=files.tokenizer_digest if files else "",
        window_tokens=files.window_tokens if files else settings.model.window_tokens or _UPSTREAM_WINDOW,
        engine=settings.engine.kind,
        template_tools=files.template.handles_tools if files else True,
        adapters=_adapters(settings),
        **({"prefix_stability": prefix_stability(files.template, files.encoder, files.tokenizer)} if files else {}),
    )


def _adapters(settings: InferenceSettings) -> tuple[str, ...]:
    return tuple(settings.vllm.engine_args.lora_modules or ()) if settings.engine.kind == "vllm" else ()


def _simulated(
    settings: InferenceSettings, files: ModelFiles, on_death: OnDeath, blocks: BlockSink | None
) -> TokenSide:
    generation = json.loads(files.files.get("generation_config.json", b"{}"))
    eos = generation.get("eos_token_id", 0)
    engine = SimulatedEngine(
        settings.simulated,
        files.tokenizer,
        files.window_tokens,
        eos=eos[0] if isinstance(eos, list) else int(eos),
        on_death=on_death,
        blocks=blocks,
    )
    stamped = settings.simulated.stamp
    return TokenSide(engine, files, StampDetokenizers() if stamped else TokenizerDetokenizers(files.tokenizer))


def _upstream(settings: InferenceSettings, clock: Clock) -> MessageSide:
    upstream = settings.upstream
    if not upstream.url:
        raise SettingsError(["upstream.url has no value; give the endpoint's base URL, such as https://host/v1"])
    key = ""
    if upstream.key_file is not None:
        key = read_secret_file(upstream.key_file, fix="put the endpoint's API key into it, mode 600")
    return MessageSide(UpstreamEngine(upstream, settings.model.name, key, clock), Estimate())
