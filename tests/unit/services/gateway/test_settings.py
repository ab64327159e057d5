"""Settings of the gateway: what refuses to start."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.settings import SettingsError, parse
from services.gateway.settings import GatewaySettings, is_loopback


def settings(*flags):
    return parse(GatewaySettings, flags, {}).settings


def test_the_documented_command_line_is_taken():
    found = settings(
        *("--rest.port", "8080", "--grpc.port", "8090", "--router.address", "127.0.0.1:8101"),
        *("--router.transport", "trunk", "--inference.transport", "grpc", "--valkey.url", "redis://127.0.0.1:8121"),
        *("--keys_file", "k.json", "--pepper_file", "p"),
    )
    assert (found.rest.port, found.grpc.port, found.inference.transport) == (8080, 8090, "grpc")
    assert (found.keys_path, found.pepper_path) == (Path("k.json"), Path("p"))


def test_keys_and_pepper_are_in_the_state_directory_by_default():
    found = settings("--state_dir", "x")
    assert (found.keys_path, found.pepper_path) == (Path("x/keys.json"), Path("x/pepper"))


def test_anonymous_callers_are_served_on_loopback():
    assert settings("--anonymous").anonymous
    assert not settings().anonymous


@pytest.mark.parametrize("flag", ["--rest.host", "--grpc.host"])
@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "example.org", ""])
def test_anonymous_callers_are_refused_anywhere_else(flag, host):
    with pytest.raises(SettingsError, match="loopback only"):
        settings("--anonymous", flag, host)
    settings(flag, host)


def test_prices_are_dollars_per_million_tokens():
    found = settings(
        "--prices",
        '[{"model": "small", "input_usd_per_million": "0.0375", "output_usd_per_million": 0.15},'
        ' {"model": "large", "input_usd_per_million": 1, "output_usd_per_million": 2, "cached_usd_per_million": 0}]',
    )
    small, large = found.price_list()
    assert (small.input_nanodollars, small.cached_nanodollars, small.output_nanodollars) == (
        37_500_000, 37_500_000, 150_000_000,
    )  # fmt: skip
    assert (large.model, large.cached_nanodollars) == ("large", 0)
    assert settings().price_list() == ()


@pytest.mark.parametrize(
    "price",
    [
        '{"model": "small", "input_usd_per_million": "-1", "output_usd_per_million": "1"}',
        '{"model": "small", "input_usd_per_million": "NaN", "output_usd_per_million": "1"}',
        '{"model": "small", "input_usd_per_million": "1e-10", "output_usd_per_million": "1"}',
        '{"model": "small", "input_usd_per_million": "1e9", "output_usd_per_million": "1"}',
        '{"model": "sm all", "input_usd_per_million": "1", "output_usd_per_million": "1"}',
        '{"model": "small", "input_usd_per_million": "1"}',
        '{"model": "small", "input_usd_per_million": "1", "output_usd_per_million": "1", "free": true}',
        (
            '{"model": "a", "input_usd_per_million": "1", "output_usd_per_million": "1"},'
            '{"model": "a", "input_usd_per_million": "2", "output_usd_per_million": "2"}'
        ),
    ],
)
def test_a_price_that_cannot_be_kept_refuses_to_start(price):
    with pytest.raises(SettingsError, match="prices"):
        settings("--prices", f"[{price}]")


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("localhost.evil.org", False)],
)
def test_loopback(host, local):
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    "flags", [("--rest.prt", "1"), ("--rest.port", "70000"), ("--keys_poll_seconds", "2"), ("--limits.n_max", "0")]
)
def test_unknown_keys_and_wild_values_refuse_to_start(flags):
    with pytest.raises(SettingsError):
        settings(*flags)


def test_an_answer_is_taken_over_before_its_hold_expires():
    settings("--ledger.lease_seconds", "6")
    with pytest.raises(SettingsError, match=r"idempotency\.lease_seconds"):
        settings("--ledger.lease_seconds", "5")
