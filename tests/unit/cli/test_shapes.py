import pytest

from cli.errors import CliError
from cli.shapes import POOLS, parse_shape


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("1", [POOLS]),
        ("3", [POOLS] * 3),
        ("small=2", [("small",)] * 2),
        ("small=1,large=1", [("small",), ("large",)]),
        ("small=1, large=2", [("small",), ("large",), ("large",)]),
        ("small+large=2", [("small", "large")] * 2),
    ],
)
def test_shapes(text, shape):
    assert parse_shape(text) == shape


@pytest.mark.parametrize("text", ["", "0", "-1", "small", "small=", "small=0", "=2", "small=1;large=1", "65", "a=99"])
def test_a_shape_that_means_nothing_is_refused(text):
    with pytest.raises(CliError, match="--workers") as caught:
        parse_shape(text)
    assert caught.value.code == 2
