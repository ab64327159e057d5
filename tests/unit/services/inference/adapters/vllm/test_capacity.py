import pytest

from libs.errors import PlatformError
from services.inference.adapters.vllm.capacity import KvFigures, mismatch, plan, token_bytes


def test_the_formula():
    assert token_bytes(layers=32, kv_heads=8, head_dim=128, element_bytes=2) == 131_072


def test_figures_that_agree_and_that_do_not():
    each = token_bytes(30, 3, 64, 2)
    blocks = (1 << 30) // (each * 32)
    assert mismatch(KvFigures(blocks - 1, 32, 1 << 30, each)) is None
    assert str(blocks) in mismatch(KvFigures(blocks // 2, 32, 1 << 30, each))
    assert mismatch(KvFigures(7, 32, 1 << 30, None)) is None
    assert mismatch(KvFigures(7, 32, 0, each)) is None


def _plan(blocks, session_tokens=0, each=100):
    figures = KvFigures(blocks, 32, blocks * 32 * 100, each)
    return plan(figures, window=1000, session_tokens=session_tokens, running_max=4, waiting_max=2)


def test_sessions_take_whole_blocks():
    assert _plan(64).sessions == 2  # 1000 tokens are 32 blocks
    assert _plan(63).sessions == 1
    assert _plan(64, session_tokens=33).sessions == 32
    assert _plan(64, each=None).kv_bytes_per_token == 100


def test_a_cache_that_holds_no_session_says_what_to_do():
    with pytest.raises(PlatformError, match=r"31 blocks.*needs 32.*kv_cache_gib"):
        _plan(31)
