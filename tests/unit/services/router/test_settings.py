import json

import pytest

from libs.settings import SettingsError, parse
from services.router.settings import RouterSettings


def test_the_flags_of_the_platform_are_read():
    argv = ["--rpc.port", "8101", "--workers", '["127.0.0.1:8111","127.0.0.1:8112"]', "--valkey.url", "redis://h:1"]
    settings = parse(RouterSettings, argv, {}).settings
    assert settings.workers == ("127.0.0.1:8111", "127.0.0.1:8112")
    assert settings.valkey.url == "redis://h:1"


@pytest.mark.parametrize(
    "argv",
    [
        ["--bindings.recheck_seconds", "100", "--bindings.ttl_seconds", "100"],
        ["--workers", '["a:1","a:1"]'],
        ["--placement.load_factor", "0.5"],
        ["--nonsense", "1"],
    ],
)
def test_what_cannot_work_refuses_to_start(argv):
    with pytest.raises(SettingsError):
        parse(RouterSettings, argv, {})


SPLIT = [{"name": "stable", "model": "m-a", "weight": 9}, {"name": "canary", "model": "m-b"}]
OTHERS = [{"name": "old", "model": "m-c"}, {"name": "new", "model": "m-d"}]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"tiers": {"small": [{"pool": "p"}], "large": [{"pool": "p"}]}}, "belongs to one tier"),
        ({"tiers": {"small": [{"pool": "p", "input_usd_per_million": "-1"}]}}, "not an amount"),
        ({"tiers": {"medium": [{"pool": "p"}]}}, "Extra inputs"),
        ({"thresholds": {"large": 0.9, "frontier": 0.5}}, "must not be below"),
        ({"policy": {"unsure": "tiny"}}, "'small', 'large' or 'frontier'"),
        ({"variants": {"chat": SPLIT[:1]}}, "at least two"),
        ({"variants": {"chat": [{**each, "weight": 0} for each in SPLIT]}}, "one of them with a weight"),
        ({"variants": {"chat": [SPLIT[0], {**SPLIT[1], "name": "stable"}]}}, "a name twice"),
        ({"variants": {"m-b": SPLIT}}, "itself"),
        ({"variants": {"m-b": OTHERS, "chat": SPLIT}}, "'m-b', which is split itself"),
        ({"variants": {"chat": SPLIT, "code": SPLIT}}, "stands in two pools"),
        ({"variants": {"chat": [SPLIT[0], {**SPLIT[1], "name": "Ca nary"}]}}, "pattern"),
    ],
)
def test_tiers_policy_and_variants_that_leave_a_doubt_refuse_to_start(changes, word):
    with pytest.raises(ValueError, match=word):
        RouterSettings.model_validate(changes)


def test_tiers_and_variants_are_read_from_flags():
    argv = ["--tiers.small", '[{"pool":"s","input_usd_per_million":"0.10"}]', "--variants", json.dumps({"s": SPLIT})]
    settings = parse(RouterSettings, argv, {}).settings
    assert (settings.tiers.small[0].pool, settings.variants["s"][0].weight) == ("s", 9)
