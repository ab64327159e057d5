from __future__ import annotations

import json

import pytest

from libs.errors import PlatformError, Reason
from services.inference.adapters.simulated.guided import guided_text
from services.inference.domain.request import Guided


def value(schema, seed=3):
    return json.loads(guided_text(Guided(json_schema=json.dumps(schema)), seed))


def test_objects_have_all_properties_in_order():
    made = value({"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "boolean"}}})
    assert list(made) == ["b", "a"]
    assert isinstance(made["b"], int)
    assert isinstance(made["a"], bool)


@pytest.mark.parametrize("seed", range(20))
def test_bounds_hold(seed):
    assert 3 <= value({"type": "integer", "minimum": 3, "maximum": 5}, seed) <= 5
    assert 2 <= len(value({"type": "array", "minItems": 2, "maxItems": 4}, seed)) <= 4
    assert 9 <= len(value({"type": "string", "minLength": 9, "maxLength": 12}, seed)) <= 12
    assert value({"enum": ["x", 1, None]}, seed) in ("x", 1, None)
    assert value({"type": "number", "maximum": 3}, seed) <= 3


def test_references_constants_and_branches():
    schema = {"$defs": {"x": {"const": 7}}, "anyOf": [{"$ref": "#/$defs/x"}]}
    assert value(schema) == 7
    assert value({"type": ["null", "string"]}) is None
    assert isinstance(value(True), str)  # noqa: FBT003 - a schema may be a boolean


def test_json_object_is_an_object():
    assert isinstance(json.loads(guided_text(Guided(json_object=True), 1)), dict)


def test_it_is_a_function_of_the_seed():
    schema = {"type": "array", "minItems": 8, "maxItems": 8}
    assert value(schema, 1) == value(schema, 1) != value(schema, 2)


@pytest.mark.parametrize(
    "bad",
    ["{", "[]", '{"type": "colour"}', '{"$ref": "#/nowhere"}', '{"enum": []}', '{"$ref": "#"}', "false", "[" * 100_000],
)
def test_what_is_no_schema_is_refused(bad):
    with pytest.raises(PlatformError) as caught:
        guided_text(Guided(json_schema=bad), 1)
    assert caught.value.reason is Reason.INVALID_SCHEMA
    assert not caught.value.started
