from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as TheirHistogram

from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry

BOUNDS = (0.5, 1.0, 2.0)


class Labels(NamedTuple):
    status: int


def samples(collector, name):
    found = {}
    for family in collector.collect():
        for sample in family.samples:
            if sample.name.startswith(name) and not sample.name.endswith("_created"):
                found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


@given(st.lists(st.floats(0, 5) | st.sampled_from(BOUNDS)))
def test_a_histogram_is_what_prometheus_client_makes_of_the_same_values(values):
    registry, theirs = Registry(), CollectorRegistry()
    ours = registry.histogram("headrace_x_seconds", "X.", NoLabels, BOUNDS)
    reference = TheirHistogram("headrace_x_seconds", "X.", registry=theirs, buckets=BOUNDS)
    for value in values:
        ours.observe(NO_LABELS, value)
        reference.observe(value)
    assert samples(registry, "headrace_x") == pytest.approx(samples(theirs, "headrace_x"))


def test_an_instrument_without_labels_shows_before_its_first_use():
    registry = Registry()
    registry.counter("headrace_x_total", "X.", NoLabels)
    assert samples(registry, "headrace_x") == {("headrace_x_total", ()): 0.0}


def test_labels_may_be_of_any_type():
    registry = Registry()
    registry.counter("headrace_x_total", "X.", Labels).inc(Labels(200))
    assert samples(registry, "headrace_x") == {("headrace_x_total", (("status", "200"),)): 1.0}
