from __future__ import annotations

import pytest

from libs.clock import SystemClock
from libs.settings import SettingsError, parse
from services.inference.adapters.engines import MessageSide, TokenSide, build_engine, model_card
from services.inference.settings import InferenceSettings
from tests.unit.services.inference.world import write_model


def given(*argv, environ=None):
    return parse(InferenceSettings, argv, environ or {}).settings


def test_no_default_is_simulated_and_none_has_a_fault():
    settings = given()
    assert settings.engine.kind == "vllm"
    assert (settings.simulated.fault, settings.simulated.faults_by_session, settings.simulated.stamp) == (
        "", False, False,
    )  # fmt: skip
    assert settings.rpc.host == "127.0.0.1"


def test_flags_and_environment_reach_nested_groups():
    settings = given("--model.pools", '["small","large"]', environ={"HEADRACE_INFERENCE_SIMULATED__TTFT_MS": "5"})
    assert settings.model.pools == ("small", "large")
    assert settings.simulated.ttft_ms == 5


@pytest.mark.parametrize(
    "argv", [("--engine.kind", "magic"), ("--simulated.fault", "explode"), ("--state_beat_ms", "251"), ("--nope", "1")]
)
def test_what_makes_no_sense_does_not_start(argv):
    with pytest.raises(SettingsError):
        given(*argv)


def test_the_engine_is_what_the_settings_name(tmp_path):
    path = str(write_model(tmp_path))
    simulated = given("--engine.kind", "simulated", "--model.path", path)
    side = build_engine(simulated, SystemClock(), print)
    assert isinstance(side, TokenSide)
    card = model_card(simulated, side, "boot")
    assert (card.engine, card.window_tokens, card.template_tools) == ("simulated", 512, False)


def test_an_upstream_needs_a_url_and_a_private_key_file(tmp_path):
    with pytest.raises(SettingsError, match="upstream"):
        build_engine(given("--engine.kind", "upstream"), SystemClock(), print)
    key = tmp_path / "key"
    key.write_text("sk-1")
    key.chmod(0o644)
    settings = given("--engine.kind", "upstream", "--upstream.url", "http://x/v1", "--upstream.key_file", str(key))
    with pytest.raises(SettingsError):
        build_engine(settings, SystemClock(), print)
    key.chmod(0o600)
    side = build_engine(settings, SystemClock(), print)
    assert isinstance(side, MessageSide)
    assert model_card(settings, side, "boot").model_digest == ""
