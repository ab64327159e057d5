"""Settings of the vLLM engine. What they multiply out to is checked against the engine's own figures at start."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.inference.adapters.vllm.engine_args import EngineArgs

GIB = 1 << 30


class VllmSettings(BaseModel):
    """One engine in one worker. Defaults suit the bundled 135M model on one CPU core."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Tokens of prompt + answer. Longer takes more KV cache per session and, on CPU, longer steps (a whole prompt is
    # one step, see `chunked_prefill`); past the model's own window vLLM refuses to start. 0 = the model's window.
    window_tokens: int = Field(default=0, ge=0)
    # KV cache granule, the unit of prefix reuse: small reuses more of a prompt, large has less bookkeeping. The CPU
    # kernels want a multiple of 32; on GPUs 16 is usual.
    block_size: int = Field(default=32, ge=8, le=512)
    # Concurrent requests in the running batch (choices count one each). More raises throughput and lowers each
    # stream's pace; beyond what the KV cache holds, sessions are preempted and computed again.
    max_num_seqs: int = Field(default=32, ge=1, le=1024)
    # Requests that wait beyond the running ones; the next is refused at once with RESOURCE_EXHAUSTED. 0 = none waits.
    # A long queue only moves the wait from the router, which could choose another worker, to here.
    waiting_max: int = Field(default=64, ge=0, le=100_000)
    # GiB of KV cache. Too little refuses to start (not one session fits), too much and the machine swaps or vLLM
    # refuses. 0 = `engine_args.gpu_memory_utilization` decides (GPU only).
    kv_cache_gib: float = Field(default=1.0, ge=0, le=4096)
    # Length of the session that `Capacity.sessions` counts, in tokens. 0 = the whole window.
    session_tokens: int = Field(default=0, ge=0)
    # Seed of the engine's own randomness (requests without a seed). Equal on all workers is harmless.
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    # CPU cores for the engine's compute threads, "0-3" or "0,2"; ranks of a tensor-parallel engine apart with "|".
    # Two workers on one machine need different ones: left to itself, each vLLM takes the same. "" = vLLM decides.
    cpu_cores: str = Field(default="", pattern=r"^[0-9,|-]*$")
    # Splits long prompts over several steps, so that running streams stall less. Must stay off on CPU, where vLLM 0.32
    # dies when a prompt with a `seed` is split (its CPU generator cannot rewind): on there refuses seeds. None = on
    # for GPUs, off for CPUs.
    chunked_prefill: bool | None = None
    # Most logprobs per position a request may ask for (OpenAI: 20). Each one costs transfer and CPU on every step.
    logprobs_max: int = Field(default=20, ge=0, le=100)
    # Bytes of a JSON schema or regex. A larger one is refused before anything parses it.
    grammar_bytes_max: int = Field(default=65_536, ge=64, le=1 << 22)
    # Seconds for trying out a grammar before the engine sees it; at the limit the request is refused.
    grammar_seconds_max: float = Field(default=3.0, gt=0, le=60)
    # Seconds without any output while requests run until the worker says it is not serving. Must exceed the longest
    # prefill (8k tokens on one slow core: about 20 s); smaller gives false alarms, larger hides a hang.
    hang_seconds: float = Field(default=60.0, gt=0)
    # Seconds for start: loading, KV cache, first token. A model on a network disk may need more.
    start_seconds_max: float = Field(default=600.0, gt=0)
    # vLLM's parser of tool calls (`vllm.tool_parsers`): "hermes" is the form that the fallback prompt for templates
    # without tools asks for. "" = none, tool calls stay text.
    tool_parser: str = Field(default="hermes", pattern=r"^[a-z0-9_.-]*$")
    # vLLM's reasoning parser (`vllm.reasoning`), e.g. "qwen3"; "" = the model does not mark its reasoning.
    reasoning_parser: str = Field(default="", pattern=r"^[a-z0-9_.-]*$")
    # What vLLM itself logs, to stderr. Its warnings are about its own choices (no Triton, eager mode), a dozen lines at
    # each start; INFO and DEBUG help when it does not start.
    vllm_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "ERROR"
    # Further arguments of vLLM's, an allowlist.
    engine_args: EngineArgs = EngineArgs()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.window_tokens and self.session_tokens > self.window_tokens:
            raise ValueError("session_tokens is longer than window_tokens: no session can be")
        if self.cpu_cores and len(self.cpu_cores.split("|")) != self.engine_args.world_size:
            raise ValueError(f"cpu_cores needs {self.engine_args.world_size} groups, one per rank, parted by |")
        return self

    def environment(self) -> dict[str, str]:
        """Environment variables that must stand before vLLM is imported."""
        given = {
            "HF_HUB_OFFLINE": "1",  # a model is a directory here; a typing error must not start a download
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "VLLM_LOGGING_LEVEL": self.vllm_log_level,
            "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # stdout belongs to the worker's own log
            "VLLM_LOGGING_COLOR": "0",
            "VLLM_REGEX_COMPILATION_TIMEOUT_S": str(max(1, int(self.grammar_seconds_max))),
        }
        if self.cpu_cores:
            given["VLLM_CPU_OMP_THREADS_BIND"] = self.cpu_cores
        return given

    def for_vllm(self, model_path: str, window_tokens: int, *, chunked_prefill: bool) -> dict[str, Any]:
        """Keyword arguments of vLLM's AsyncEngineArgs for a model whose window is `window_tokens`.

        Without chunked prefill the token budget of a step is the window and one token per running stream, so that
        any prompt fits in one step beside a full batch.
        """
        budget = {} if chunked_prefill else {"max_num_batched_tokens": window_tokens + self.max_num_seqs}
        return {
            "model": model_path,
            "max_model_len": window_tokens,
            "block_size": self.block_size,
            "max_num_seqs": self.max_num_seqs,
            "kv_cache_memory_bytes": int(self.kv_cache_gib * GIB) or None,
            "seed": self.seed,
            "enable_prefix_caching": True,
            "enable_chunked_prefill": chunked_prefill,
            "max_logprobs": self.logprobs_max,
            "structured_outputs_config": {
                "backend": "xgrammar",
                "reasoning_parser": self.reasoning_parser,
                # Small models fill any whitespace they are allowed until max_tokens, and the JSON never ends.
                "disable_any_whitespace": True,
            },
            "disable_log_stats": False,  # carries running, waiting and KV use with each step
            "use_tqdm_on_load": self.vllm_log_level != "ERROR",
            "enable_log_requests": False,  # prompts stay out of logs
            **budget,
            **self.engine_args.for_vllm(),
        }
