from __future__ import annotations

import re
import time

from services.inference.adapters.simulated.stamps import StampDetokenizers


def test_each_text_says_when_it_was_written_and_the_first_when_work_came():
    before = time.monotonic_ns()
    detokenizer = StampDetokenizers().detokenizer(keep_special_tokens=False)
    first, second = detokenizer.feed(5), detokenizer.feed(6)
    written, received = map(int, re.fullmatch(r"@(\d{16,}) \^(\d{16,}) ", first).groups())
    later = int(re.fullmatch(r"@(\d{16,}) ", second)[1])
    assert before <= received <= written <= later <= time.monotonic_ns()
    assert detokenizer.finish() == ""
