from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.classifier.form import FORM, measure
from services.router.domain.classifier.reading import read, split_options

QUESTION = "Which of the following is NOT a prime?\nA. 2\nB. 17\nC. 21\nD. None of the above\nAnswer:"


def measured(text: str) -> dict[str, float]:
    return dict(zip(FORM, measure(read(text)), strict=True))


def test_options_are_split_from_the_stem():
    assert split_options(QUESTION) == (
        "Which of the following is NOT a prime?",
        ["2", "17", "21", "None of the above"],
    )
    assert split_options("\nA) one\nB) two")[1] == ["one", "two"]
    assert split_options("\n(A) one\n(B) two")[1] == ["one", "two"]


@pytest.mark.parametrize("text", ["A. B. Cooper was a hijacker", "\nA. only one", "\nB. two\nC. three", "Plan:\nA day"])
def test_what_is_no_list_from_a_on_has_no_options(text: str):
    assert split_options(text) == (text, [])


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        (QUESTION, "options", 1.0),
        (QUESTION, "negation in capitals", 1.0),
        (QUESTION, "all or none of the above", 1.0),
        (QUESTION, "options are numbers", 0.75),
        (QUESTION, "which of the following", 1.0),
        ("She has 5 apples, 120 pears and 7 plums.", "numbers", math.log(4)),
        ("She has 5 apples, 120 pears and 7 plums.", "long numbers", math.log(2)),
        ("In 1914 and 3014", "years", math.log(2)),
        ("It costs $5 or 10%", "money or percent", math.log(3)),
        ("Statement 1 | All rings are fields.", "two statements", 1.0),
        ("x\ndef f(x):\n  return g()", "code", 1.0),
        ("The capital is _____", "blanks to fill", 1.0),
        ("Is it so?", "question marks", math.log(2)),
        ("twice as many, half as much", "comparisons", math.log(5)),
        ("√(x) ≤ 3\u00d7y", "maths signs", math.log(4)),
    ],
)
def test_what_is_counted(text: str, name: str, value: float):
    assert measured(text)[name] == pytest.approx(value)


def test_plain_words_have_no_signs_of_anything_else():
    found = measured("please tell me a story")
    spoken = {name for name, value in found.items() if value}
    assert spoken == {"characters", "word count", "word length"}


@given(st.text(max_size=300))
def test_any_text_gives_bounded_numbers(text: str):
    values = measure(read(text))
    assert len(values) == len(FORM)
    assert all(math.isfinite(value) and 0 <= value <= 20 for value in values)


@pytest.mark.parametrize("unit", ["\nA. x", "A", "1 ", "? ", "a, B", '"', "\n(A)", "IV ", "0" * 50 + " "])
def test_time_is_linear_in_the_text(unit: str):
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        best = 9.0
        for _ in range(5):
            began = time.process_time()
            measure(read(text))
            best = min(best, time.process_time() - began)
        return best

    # A quadratic scan of eight times as much takes 64 times as long.
    assert seconds(64_000) < 24 * seconds(8_000) + 0.002
