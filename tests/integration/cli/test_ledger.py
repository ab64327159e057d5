"""`headrace ledger` against real stores and a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import yaml
from typer.testing import CliRunner, Result

from cli.main import app
from libs.blobs import LocalBlobs
from libs.testing.brokers import BrokerProcess, embedded_broker
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from services.gateway.domain.request_record import RequestRecord
from tests.integration.services.gateway.ledger_world import opened, people, publish, traffic


@dataclass
class Books:
    """A store with a history, its broker, and an empty store."""

    old: ValkeyProcess
    empty: ValkeyProcess
    broker: BrokerProcess
    gateway_config: Path

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(app, ["ledger", *words, "--gateway-config", str(self.gateway_config)])

    def json(self, *words: str, code: int = 0) -> dict:
        done = self.run(*words, "--json")
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    with ValkeyProcess() as old, ValkeyProcess() as empty, embedded_broker() as broker:

        async def main() -> None:
            async with opened(old) as store:
                await people(store)
                await traffic(store, 30, seed=9)
                await publish(store, broker, durable=False)

        run_real(main())
        config = tmp_path / "gateway.yaml"
        settings = {"valkey": {"url": old.url}, "kafka": {"brokers": [f"127.0.0.1:{broker.port}"]}}
        config.write_text(yaml.safe_dump(settings))
        yield Books(old, empty, broker, config)


def command(store: ValkeyProcess, *words: object) -> None:
    async def main() -> None:
        async with opened(store) as found:
            await found.valkey.command(*words)

    run_real(main())


def test_a_rebuild_from_the_topic_is_one_that_the_audit_agrees_with(books: Books) -> None:
    report = books.json("rebuild", "--into", books.empty.url)
    assert (report["complete"], report["tenants"], report["kinds"]["account"]) == (True, 3, 15)
    books.gateway_config.write_text(yaml.safe_dump({"valkey": {"url": books.empty.url}}))
    audited = books.json("audit")
    assert (audited["agrees"], audited["cost_usd"]) == (True, report["cost_usd"])
    assert audited["cost_usd"] != "0"


def test_topic_and_outbox_together(books: Books) -> None:
    words = ("rebuild", "--from", "kafka", "--from", "outbox", "--old", books.old.url, "--into", books.empty.url)
    report = books.json(*words)
    assert report["complete"]
    assert report["repeats"] == report["entries"]


def test_a_store_with_something_in_it_is_refused(books: Books) -> None:
    report = books.json("rebuild", code=1)  # into the store that it comes from
    assert "holds accounts or a ledger already" in report["error"]["message"]


def test_from_outbox_needs_an_old_store(books: Books) -> None:
    done = books.run("rebuild", "--from", "outbox", "--into", books.empty.url)
    assert done.exit_code == 2
    assert "--old" in done.output


def test_books_that_agree(books: Books) -> None:
    report = books.json("audit", "--topic")
    assert (report["agrees"], report["unpublished"], report["vanished"]) == (True, 0, 0)
    done = books.run("audit")
    assert done.exit_code == 0
    assert "the books agree" in done.stdout


def test_books_that_differ_are_shown_and_are_exit_status_1(books: Books) -> None:
    command(books.old, "HSET", "hr:ledger:{acme}:k:k1", "st", b"\x84\xa1h\x00\xa1p\x00\xa2sd\x00\xa2sn\x07")
    report = books.json("audit", code=1)
    assert [(each["tenant"], each["scope"], each["what"]) for each in report["differences"]] == [
        ("acme", "k:k1", "settled")
    ]
    assert report["differences"][0]["ledger_usd"] == "0.000000007"
    done = books.run("audit")
    assert done.exit_code == 1
    assert "do NOT agree" in done.stdout
    assert "k:k1" in done.stdout


def test_a_record_that_says_another_price_than_the_log_is_shown(books: Books) -> None:
    async def settled() -> tuple[str, int]:
        async with opened(books.old) as store:
            entries = await store.outbox.read("acme", "", 1000)
        return next((each.request_id, each.cost) for each in entries if each.kind == "settled" and each.cost)

    def recorded(request_id: str, cost: int) -> dict:
        """The audit, with one record of the request; a second one is of a request that the log does not know."""
        records = [RequestRecord(id=name, tenant="acme", key="k1", at=1.7e9, cost_nanodollars=cost)
                   for name in (request_id, "unknown")]  # fmt: skip
        lines = b"\n".join(map(msgspec.json.encode, records))
        run_real(LocalBlobs(blobs).put("records/acme/2023-11-14/1-gw-1.jsonl", lines))
        return json.loads(books.run("audit", "--json").stdout)

    request_id, cost = run_real(settled())
    blobs = books.gateway_config.parent / "blobs"
    settings = yaml.safe_load(books.gateway_config.read_text()) | {"records": {"directory": str(blobs)}}
    books.gateway_config.write_text(yaml.safe_dump(settings))
    right, wrong = recorded(request_id, cost), recorded(request_id, cost + 1)
    assert (right["agrees"], right["records"], right["wrong_records"]) == (True, 2, [])
    assert (wrong["agrees"], [each["request"] for each in wrong["wrong_records"]]) == (False, [request_id])


def test_a_broker_that_forgot_is_told_and_the_books_still_agree(books: Books) -> None:
    books.broker.kill()
    books.broker.start()
    done = books.run("audit", "--topic", "--json")
    assert done.exit_code == 1
    assert "nothing was ever published" in json.loads(done.stdout)["error"]["message"]
    assert books.json("audit")["agrees"]


def test_a_store_that_is_away_is_said_without_its_password(books: Books) -> None:
    books.gateway_config.write_text(yaml.safe_dump({"valkey": {"url": "redis://user:secret@127.0.0.1:1"}}))
    done = books.run("audit")
    assert done.exit_code == 1
    assert "127.0.0.1:1 does not answer" in done.output
    assert "secret" not in done.output
