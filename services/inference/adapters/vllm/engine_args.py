"""The vLLM engine arguments that an operator may set; every other one is ours or refused.

Each field says whether it is *tested here* (in this repository's suites, on CPU) or *passed on*: handed to vLLM, which
validates it, without a test of ours because it needs other hardware or models.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_ADAPTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class EngineArgs(BaseModel):
    """Allowlist of vLLM engine arguments, by vLLM's own names. An unknown name is refused at start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Passed on. GPUs of one node over which each layer is split: for models that do not fit one GPU, and for latency.
    # Must divide the attention heads. On CPU each rank needs its own cores in `cpu_cores`.
    tensor_parallel_size: int = Field(default=1, ge=1, le=64)
    # Passed on. Stages of layers, for models that span nodes: bandwidth between stages may be low, latency adds up.
    pipeline_parallel_size: int = Field(default=1, ge=1, le=64)
    # Tested here: None and "mp" (processes on one node). Passed on: "ray", where a model spans nodes.
    distributed_executor_backend: Literal["mp", "ray"] | None = None
    # Tested here: "auto". Passed on: "fp8…" halves KV memory against bfloat16, at some loss of quality.
    kv_cache_dtype: str = Field(default="auto", pattern=r"^[a-z0-9_]{1,32}$")
    # Passed on: "awq", "gptq", "fp8", …; None = as the model's own config says.
    quantization: str | None = Field(default=None, pattern=r"^[a-z0-9_-]{1,32}$")
    # Tested here: "auto" (bfloat16 for the bundled model).
    dtype: str = Field(default="auto", pattern=r"^[a-z0-9]{1,16}$")
    # Passed on. vLLM's speculative decoding, e.g. {"method": "ngram", "num_speculative_tokens": 4}. Several tokens
    # then arrive per step. vLLM refuses `min_p` and `logit_bias` with it, so they are refused here as well.
    speculative_config: dict[str, Any] | None = None
    # Passed on. LoRA adapters by name: clients choose one by name, never by path.
    lora_modules: dict[str, str] = Field(default_factory=dict)
    # Adapters in one batch; each costs memory on the device.
    max_loras: int = Field(default=1, ge=1, le=64)
    # Highest rank of any adapter; larger costs memory for all of them.
    max_lora_rank: Literal[8, 16, 32, 64, 128, 256] = 16
    # Passed on, GPU only. Share of the GPU's memory for weights + KV cache when `kv_cache_gib` is 0.
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    # Tested here: True. False compiles and captures CUDA graphs: minutes at start, faster decoding on a GPU.
    enforce_eager: bool = True
    # Tested here: False. Lets a model repository run its own Python: only for repositories you wrote or read.
    trust_remote_code: bool = False

    @field_validator("lora_modules")
    @classmethod
    def _adapter_names(cls, modules: dict[str, str]) -> dict[str, str]:
        for name in modules:
            if not _ADAPTER_NAME.fullmatch(name):
                raise ValueError(f"lora_modules: {name!r} is no adapter name (letters, digits, . _ -, at most 64)")
        return modules

    @property
    def world_size(self) -> int:
        """Processes that hold a part of the model."""
        return self.tensor_parallel_size * self.pipeline_parallel_size

    def for_vllm(self) -> dict[str, Any]:
        """The arguments as vLLM's AsyncEngineArgs takes them."""
        given = self.model_dump(exclude={"lora_modules", "max_loras", "max_lora_rank"})
        if self.lora_modules:
            given |= {"enable_lora": True, "max_loras": self.max_loras, "max_lora_rank": self.max_lora_rank}
        return given
