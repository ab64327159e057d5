import re

from libs.telemetry import names

ALL = {key: value for key, value in vars(names).items() if key.isupper()}


def test_no_name_stands_twice():
    assert len(set(ALL.values())) == len(ALL)


def test_metric_names_are_ours_or_the_conventions():
    for key, value in ALL.items():
        if key.startswith("METRIC_"):
            assert re.fullmatch(r"(headrace|gen_ai)_[a-z0-9_]*", value), key


def test_attribute_names_are_ours_or_the_conventions():
    for key, value in ALL.items():
        if not key.startswith("METRIC_"):
            assert re.fullmatch(r"(headrace|gen_ai|rpc|http|messaging|error)(\.[a-z_]+)+", value), key
