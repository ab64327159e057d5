"""Lines of batch files: what is taken, what is told of what is not, and how lines are cut."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.jobs.domain.batch_lines import BatchLine, Cutter, Inspection, LineFaultError, parsed
from services.jobs.domain.job import LineError

CHAT = "/v1/chat/completions"


def line(custom_id="a", **more):
    return json.dumps(
        {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": {"model": "small"}} | more
    ).encode()


def without(name):
    fields = json.loads(line())
    del fields[name]
    return json.dumps(fields).encode()


def test_a_line_gives_its_name_and_its_body_as_it_was_sent():
    body = b'{"model": "small",  "temperature":0.10, "x": "\\u00e9"}'
    data = b'{"custom_id":"caf\xc3\xa9","extra":1,"method":"POST","url":"%s","body":%s}' % (CHAT.encode(), body)
    assert parsed(data, 1, CHAT) == BatchLine("café", body)
    assert parsed(b"\xef\xbb\xbf" + data + b"  ", 1, CHAT) == BatchLine("café", body)


@pytest.mark.parametrize("data", [b"", b"  ", b"\t \r", b"\xef\xbb\xbf"])
def test_blank_lines_ask_for_nothing(data):
    assert parsed(data, 1, CHAT) is None


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        (b"{", "invalid_json_line", ""),
        (b"[]", "invalid_json_line", ""),
        (b'"text"', "invalid_json_line", ""),
        (line() + line(), "invalid_json_line", ""),
        (b'{"body":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json_line", ""),
        (line().replace(b"small", b"\xff"), "invalid_encoding", ""),
        (line(body={"text": "x" * 2**20}), "line_too_long", ""),
        (without("custom_id"), "missing_required_parameter", "custom_id"),
        (line(""), "missing_required_parameter", "custom_id"),
        (line(7), "missing_required_parameter", "custom_id"),
        (line("x" * 513), "invalid_custom_id", "custom_id"),
        (without("method"), "missing_required_parameter", "method"),
        (line(method="GET"), "invalid_method", "method"),
        (line(method="post"), "invalid_method", "method"),
        (without("url"), "missing_required_parameter", "url"),
        (line(url="/v1/embeddings"), "url_mismatch", "url"),
        (line(url="https://api.openai.com" + CHAT), "url_mismatch", "url"),
        (without("body"), "missing_required_parameter", "body"),
        (line(body=[1]), "missing_required_parameter", "body"),
        (line(body=None), "missing_required_parameter", "body"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_with_its_number_and_field(data, code, param):
    found = parsed(data, 7, CHAT)
    assert isinstance(found, LineError)
    assert (found.code, found.param, found.line) == (code, param, 7)


def test_a_line_of_exactly_the_largest_size_is_taken():
    rest = 2**20 - len(line(body={"text": ""}))
    assert isinstance(parsed(line(body={"text": "x" * rest}), 1, CHAT), BatchLine)
    assert isinstance(parsed(line(body={"text": "x" * (rest + 1)}), 1, CHAT), LineError)


def faults_of(*lines, lines_max=10):
    inspection = Inspection(CHAT, lines_max)
    for data in lines:
        if not inspection.take(data):
            break
    return [(fault.code, fault.line) for fault in inspection.end()]


def test_a_file_is_looked_at_as_a_whole():
    assert faults_of(line("a"), b"", line("b"), line("A")) == []
    assert faults_of() == [("empty_file", 0)]
    assert faults_of(b"", b" ") == [("empty_file", 0)]
    assert faults_of(line("a"), line("b"), b"", line("a"), b"{") == [
        ("duplicate_custom_id", 4),
        ("invalid_json_line", 5),
    ]
    assert faults_of(b"{") == [("invalid_json_line", 1)]


def test_names_that_differ_in_escapes_only_are_the_same_name():
    assert faults_of(line("\u00e9"), line("\u00e9").replace(b"\\u00e9", b"\xc3\xa9")) == [("duplicate_custom_id", 2)]


def test_as_many_requests_as_allowed_are_taken_and_not_one_more_and_nobody_reads_on():
    ten = [line(str(number)) for number in range(10)]
    assert faults_of(*ten, b"") == []
    assert faults_of(*ten, line("11"), b"{", b"{") == [("too_many_tasks", 11)]


def test_the_first_twenty_faults_are_told():
    assert faults_of(*[b"{"] * 50) == [("invalid_json_line", number) for number in range(1, 21)]


def cut_all(lines, after=None, **bounds):
    """The cuts of a file of these lines; `after` = a part that there is already."""
    cutter = Cutter("file-1", CHAT, after, **bounds)
    start, cuts = 0, []
    for data in lines:
        length = len(data) + 1
        if start >= cutter.start and (cut := cutter.take(data, start, length)):
            cuts.append(cut)
        start += length
    last = cutter.end()
    return cuts + ([last] if last else [])


LINES = st.lists(
    st.one_of(st.just(b""), st.integers(0, 200).map(lambda size: line("n", body={"t": "x" * size}))), max_size=40
)


@settings(max_examples=200, deadline=None)
@given(LINES, st.integers(1, 7), st.integers(50, 1200))
def test_parts_hold_every_request_once_in_order_and_are_as_large_as_they_may_be(lines, requests, size):
    cuts = cut_all(lines, part_requests=requests, part_bytes=size)
    data = b"".join(each + b"\n" for each in lines)
    wanted = [parsed(each, 1, CHAT).body for each in lines if each]
    assert [body for cut in cuts for body in cut.bodies] == wanted
    assert [cut.number for cut in cuts] == list(range(len(cuts)))
    assert [cut.first for cut in cuts] == [sum(len(each.bodies) for each in cuts[:place]) for place in range(len(cuts))]
    for cut in cuts:
        text = data[cut.slice.start : cut.slice.start + cut.slice.length]
        assert text.endswith(b"\n")
        assert [parsed(each, 1, CHAT).body for each in text.split(b"\n") if each] == cut.bodies
        assert data[: cut.slice.start].count(b"\n") + 1 == cut.slice.line
        assert len(cut.bodies) <= requests
        assert len(text) <= size or len(cut.bodies) == 1
    for cut, following in itertools.pairwise(cuts):
        end_of_next = data.index(b"\n", following.slice.start) + 1
        assert len(cut.bodies) == requests or end_of_next - cut.slice.start > size


@settings(max_examples=200, deadline=None)
@given(LINES, st.integers(1, 7), st.data())
def test_whoever_goes_on_after_a_part_cuts_what_the_first_would_have_cut(lines, requests, data):
    cuts = cut_all(lines, part_requests=requests)
    if not cuts:
        return
    place = data.draw(st.integers(0, len(cuts) - 1))
    assert cut_all(lines, cuts[place].part("batch_1", []), part_requests=requests) == cuts[place + 1 :]


def test_a_part_names_its_reservation_by_its_number():
    cuts = cut_all([line("a"), line("b"), line("c")], part_requests=2)
    parts = [cut.part("batch_1", ["small"] * len(cut.bodies)) for cut in cuts]
    assert [(part.reservation, part.first, part.count) for part in parts] == [("batch_1:0", 0, 2), ("batch_1:1", 2, 1)]


def test_a_line_that_another_version_let_pass_is_told():
    with pytest.raises(LineFaultError) as caught:
        cut_all([line("a"), b"{"])
    assert caught.value.fault.line == 2
