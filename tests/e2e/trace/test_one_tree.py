"""One request is one tree of spans over gateway, router and inference, whatever carries it."""

import asyncio
import time

import pytest

from libs.testing.otlp import Collector
from loadtests.common.client import stream
from loadtests.common.stack import MODEL, MODEL_NAME, Layout, Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
BODY = {"model": MODEL_NAME, "messages": [{"role": "user", "content": "a secret question"}], "max_tokens": 8}


def wait_for_services(collector, wanted, seconds=15):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        roots = [s for s in collector.spans if s.name and s.service.endswith("gateway") and not s.parent_id]
        for root in roots:
            tree = [s for s in collector.spans if s.trace_id == root.trace_id]
            if {s.service.removeprefix("headrace-") for s in tree} >= wanted:
                return root, tree
        time.sleep(0.1)
    raise AssertionError(sorted({(s.service, s.name, s.parent_id) for s in collector.spans}))


@pytest.mark.skipif(not MODEL.exists(), reason="needs the bundled model's tokenizer (`make model`)")
@pytest.mark.parametrize("transport", ["trunk", "grpc"])
def test_a_request_is_one_tree_over_three_services(transport):
    with Collector() as collector:
        traced = ["--trace.otlp_endpoint", collector.endpoint]
        layout = Layout(
            base_port=18450, transport=transport, worker_args=traced, router_args=traced, gateway_args=traced
        )
        with Stack(layout) as stack:
            headers = {"authorization": f"Bearer {stack.key}", "x-session-id": "traced"}
            answer = asyncio.run(stream(stack.rest_port, BODY, headers))
            assert answer.done
            root, tree = wait_for_services(collector, {"gateway", "router", "inference"})
        ids = {s.span_id for s in tree}
        assert [s for s in tree if not s.parent_id] == [root]
        assert all(s.parent_id in ids for s in tree if s is not root)
        assert "secret question" not in repr(collector.spans)
        assert stack.key not in repr(collector.spans)
