"""Tokenizers and templates by digest: in memory, else on disk, else from a worker that has them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from headrace.inference.v1 import inference_pb2

from libs.chat_template import ChatTemplate, PromptEncoder, load_tokenizer
from libs.errors import PlatformError, Reason
from libs.rpc.method import method
from services.gateway import convert
from services.gateway.adapters.tokenizer_disk import TokenizerDisk
from services.gateway.adapters.workers import Channels
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.prompt import EncodedPrompt, Prompt
from services.gateway.ports import Encoder

FETCH = method(
    inference_pb2.DESCRIPTOR.services_by_name["InferenceService"],
    "FetchTokenizer",
    inference_pb2.FetchTokenizerRequest,
    inference_pb2.FetchTokenizerResponse,
)
# Models in use at once rarely pass this; each tokenizer takes 20 to 100 MB.
ENCODERS_MAX = 8
# Larger than any real set of tokenizer files (the largest are about 40 MB).
FILES_BYTES_MAX = 256 * 1024 * 1024
FETCH_SECONDS_MAX = 60.0
# Above this a prompt takes over about 5 ms to render and tokenise, and goes to a thread.
INLINE_CHARACTERS_MAX = 32_768


class TemplateEncoder:
    """See ports.Encoder. A template renders in one thread at a time, so long prompts have one of their own."""

    def __init__(self, files: Mapping[str, bytes], apart: ThreadPoolExecutor) -> None:
        tokenizer = load_tokenizer(files)
        self._inline = ChatTemplate.load(files, tokenizer)
        self._in_thread = ChatTemplate.load(files, tokenizer)
        self._encoder = PromptEncoder(tokenizer)
        self._apart = apart

    async def encode(self, prompt: Prompt, tenant: str) -> EncodedPrompt:
        """See ports.Encoder."""
        if sum(len(turn.text) for turn in prompt.turns) <= INLINE_CHARACTERS_MAX:
            return self._encode(self._inline, prompt, tenant)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._apart, self._encode, self._in_thread, prompt, tenant)

    def _encode(self, template: ChatTemplate, prompt: Prompt, tenant: str) -> EncodedPrompt:
        messages = [convert.message(turn) for turn in prompt.turns]
        tools: list[dict[str, Any]] = [convert.tool(tool, _schema(tool.parameters_json)) for tool in prompt.tools]
        encoded = self._encoder.encode(template.render(messages, tools, now=prompt.now), tenant)
        return EncodedPrompt(encoded.packed, encoded.count, encoded.fresh_tokens)


def _schema(text: str) -> Any:
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.DecodeError as error:
        message = f"A tool's parameters are not JSON ({error}); send a JSON Schema object."
        raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param="tools") from error


class FetchedEncoders:
    """See ports.Encoders. Fetches run on when a caller gives up, so that the next one finds them done."""

    def __init__(self, channels: Channels, disk: TokenizerDisk) -> None:
        self._channels = channels
        self._disk = disk
        # One thread: templates there are not shared by two.
        self._apart = ThreadPoolExecutor(max_workers=1, thread_name_prefix="long-prompt")
        self._encoders: OrderedDict[str, TemplateEncoder] = OrderedDict()
        self._fetches: dict[str, asyncio.Task[TemplateEncoder]] = {}

    def cached(self, info: ModelInfo) -> Encoder | None:
        """See ports.Encoders."""
        encoder = self._encoders.get(info.tokenizer_digest)
        if encoder is not None:
            self._encoders.move_to_end(info.tokenizer_digest)
        return encoder

    async def fetch(self, info: ModelInfo, *, timeout: float) -> Encoder:
        """See ports.Encoders."""
        digest = info.tokenizer_digest
        task = self._fetches.get(digest)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._obtain(digest, info.addresses))
            self._fetches[digest] = task
            task.add_done_callback(lambda done: self._over(digest, done))
        done, _ = await asyncio.wait({task}, timeout=timeout)
        if not done:
            raise unavailable(info.name, "fetching it takes too long")
        try:
            return task.result()
        except PlatformError as error:
            raise unavailable(info.name, error.message) from error

    async def close(self) -> None:
        """Gives up what is being fetched. A repeat does nothing."""
        fetches = list(self._fetches.values())
        for task in fetches:
            task.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)
        self._apart.shutdown(wait=False, cancel_futures=True)

    def _over(self, digest: str, task: asyncio.Task[TemplateEncoder]) -> None:
        self._fetches.pop(digest, None)
        if not task.cancelled():
            # Read here, because every caller may have gone.
            task.exception()

    async def _obtain(self, digest: str, addresses: Sequence[str]) -> TemplateEncoder:
        files = await asyncio.to_thread(self._disk.read, digest)
        encoder = await self._load(files) if files else None
        if encoder is None:
            files = await self._from_workers(digest, addresses)
            encoder = await self._load(files)
            await asyncio.to_thread(self._disk.write, digest, files)
        self._encoders[digest] = encoder
        while len(self._encoders) > ENCODERS_MAX:
            self._encoders.popitem(last=False)
        return encoder

    async def _load(self, files: Mapping[str, bytes]) -> TemplateEncoder:
        try:
            return await asyncio.to_thread(TemplateEncoder, files, self._apart)
        except ValueError as error:
            raise PlatformError(Reason.INTERNAL, f"its files cannot be used ({error})", started=False) from error

    async def _from_workers(self, digest: str, addresses: Sequence[str]) -> dict[str, bytes]:
        error = PlatformError(Reason.NO_WORKER, "no live worker has it", started=False)
        for address in addresses:
            try:
                return await self._from_worker(digest, address)
            except PlatformError as failed:
                error = failed
        raise error

    async def _from_worker(self, digest: str, address: str) -> dict[str, bytes]:
        channel = self._channels.get(address, FETCH_SECONDS_MAX)
        request = inference_pb2.FetchTokenizerRequest(tokenizer_digest=digest)
        stream = channel.stream(FETCH, request, timeout=FETCH_SECONDS_MAX)
        files: dict[str, bytearray] = {}
        size = 0
        try:
            async for response in stream:
                size += len(response.part)
                if size > FILES_BYTES_MAX:
                    raise PlatformError(Reason.INTERNAL, f"its files exceed {FILES_BYTES_MAX} bytes", started=False)
                files.setdefault(response.file, bytearray()).extend(response.part)
        finally:
            stream.cancel()
        return {name: bytes(content) for name, content in files.items()}


def unavailable(model: str, why: str) -> PlatformError:
    """The error of a call whose tokenizer is not to be had."""
    message = f"The tokenizer of model '{model}' is not available: {why}. Try again shortly."
    return PlatformError(Reason.NO_WORKER, message, retry_after_seconds=1.0, started=False)
