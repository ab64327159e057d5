import pytest
from pydantic import ValidationError

from services.inference.adapters.vllm.settings import VllmSettings


def test_the_step_holds_any_prompt_beside_a_full_batch_when_prompts_are_not_split():
    given = VllmSettings(max_num_seqs=8).for_vllm("m", 4096, chunked_prefill=False)
    assert given["max_num_batched_tokens"] == 4096 + 8
    assert given["enable_chunked_prefill"] is False
    assert "max_num_batched_tokens" not in VllmSettings().for_vllm("m", 4096, chunked_prefill=True)


def test_prompts_stay_out_of_logs_and_the_cache_is_salted_and_on():
    given = VllmSettings(kv_cache_gib=0.5).for_vllm("m", 4096, chunked_prefill=False)
    assert given["enable_log_requests"] is False
    assert given["enable_prefix_caching"] is True
    assert given["kv_cache_memory_bytes"] == 1 << 29
    assert VllmSettings(kv_cache_gib=0).for_vllm("m", 1, chunked_prefill=True)["kv_cache_memory_bytes"] is None


def test_the_environment_keeps_vllm_offline_and_on_its_cores():
    environment = VllmSettings(cpu_cores="1").environment()
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["VLLM_NO_USAGE_STATS"] == "1"
    assert environment["VLLM_CPU_OMP_THREADS_BIND"] == "1"
    assert "VLLM_CPU_OMP_THREADS_BIND" not in VllmSettings().environment()


@pytest.mark.parametrize(
    "bad",
    [
        {"unknown": 1},
        {"engine_args": {"unknown": 1}},
        {"engine_args": {"worker_cls": "os.system"}},
        {"engine_args": {"distributed_executor_backend": "uni"}},
        {"engine_args": {"lora_modules": {"../x": "p"}}},
        {"engine_args": {"tensor_parallel_size": 2}, "cpu_cores": "0"},
        {"window_tokens": 100, "session_tokens": 200},
        {"cpu_cores": "all"},
        {"block_size": 0},
    ],
)
def test_what_is_not_on_the_list_or_contradicts_itself_is_refused(bad):
    with pytest.raises(ValidationError):
        VllmSettings(**bad)


def test_engine_arguments_reach_vllm_by_its_own_names():
    settings = VllmSettings(
        engine_args={"tensor_parallel_size": 2, "lora_modules": {"sql": "/m/sql"}, "kv_cache_dtype": "fp8"},
        cpu_cores="0|1",
    )
    given = settings.for_vllm("m", 128, chunked_prefill=True)
    assert (given["tensor_parallel_size"], given["kv_cache_dtype"], given["enable_lora"]) == (2, "fp8", True)
    assert "lora_modules" not in given
    assert "enable_lora" not in VllmSettings().for_vllm("m", 128, chunked_prefill=True)
