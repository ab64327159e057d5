"""`headrace dlq` on letters that `TopicLetters` moved, in memory."""

import asyncio
import json
import re
from dataclasses import dataclass, field

import pytest
from headrace.events.v1.jobs_pb2 import JobRequested
from headrace.jobs.v1.jobs_pb2 import SubmitJobRequest, Webhook
from typer.testing import CliRunner

from cli.config import Config
from cli.dlq import brokers_of
from cli.errors import CliError
from cli.main import app
from libs.clock import SystemClock
from libs.kafka import KafkaSettings, TopicSpec
from libs.kafka.events import event_record
from libs.kafka.handling import Delivery, PoisonError
from libs.kafka.letter_settings import LetterSettings, for_letters
from libs.kafka.letter_topics import topics_beside
from libs.kafka.letters import TopicLetters
from libs.testing.kafka import MemoryBroker, MemoryProducer, MemoryReader

REQUESTED, FINISHED = "headrace.jobs.requested.v1", "headrace.jobs.finished.v1"
TOPICS = tuple(TopicSpec(name, 3) for name in (REQUESTED, FINISHED))
PART = JobRequested(tenant="t1", part=JobRequested.Part(job="job_1", part=2))


@dataclass
class Platform:
    """Implements `cli.dlq.Brokers`, and moves letters."""

    broker: MemoryBroker = field(default_factory=MemoryBroker)
    state_dir: str = ""

    async def topics(self):
        self.broker.check()
        return set(self.broker.topics)

    def reader(self):
        return MemoryReader(self.broker)

    def producer(self):
        kafka = for_letters(KafkaSettings(record_bytes_max=100_000))
        return MemoryProducer(self.broker, (*TOPICS, *topics_beside(TOPICS, LetterSettings())), kafka)

    def die(self, *offsets, cause="no such model", topic=REQUESTED, value=None, attempt=4):
        asyncio.run(self._die(offsets, cause, topic, value, attempt))

    async def _die(self, offsets, cause, topic, value, attempt):
        letters = TopicLetters(self.producer(), LetterSettings(), SystemClock())
        for offset in offsets:
            with pytest.raises(PoisonError) as raised:
                raise PoisonError(cause)
            await letters.dead(self._message(topic, offset, value, attempt), raised.value)

    def park(self, offset, topic=REQUESTED):
        letters = TopicLetters(self.producer(), LetterSettings(), SystemClock())
        asyncio.run(letters.park(self._message(topic, offset, None, 1)))

    def _message(self, topic, offset, value, attempt):
        event = event_record(topic=topic, key=b"t1/job_1", value=PART, source="x", id=f"e{offset}", time=1.0)
        return Delivery(topic, 2, offset, event.key, value or event.value, dict(event.headers), 0, attempt)

    def __call__(self, *words, code=0, columns="200"):
        done = CliRunner().invoke(app, ["dlq", *words, "--state-dir", self.state_dir], env={"COLUMNS": columns})
        assert done.exit_code == code, done.output
        return done

    def json(self, *words, code=0):
        return json.loads(self(*words, "--json", code=code).stdout)

    def came_back(self, topic=REQUESTED):
        return self.broker.records(topic)


@pytest.fixture
def dlq(monkeypatch, tmp_path):
    platform = Platform(state_dir=str(tmp_path))
    monkeypatch.setattr("cli.dlq.brokers_of", lambda config, given: platform)
    return platform


def test_without_letters_it_says_so(dlq):
    assert dlq("list").stdout == "no dead letters\n"
    assert dlq("list", "--topic", REQUESTED).stdout == f"no dead letters of {REQUESTED}\n"
    assert dlq("list", "--parked").stdout == "no parked messages\n"
    assert dlq("replay", "--all", "--yes").stdout == "no dead letters\n"
    assert dlq.json("list") == {"topics": []}


def test_list_tells_of_causes_and_letters(dlq):
    dlq.die(5, 6, cause="312 bytes that are no JobRequested")
    dlq.die(7, cause="7 bytes that are no JobRequested")
    dlq.die(8, cause="other")
    lines = dlq("list").stdout.splitlines()
    assert lines[0] == f"{REQUESTED}.dead: 4 dead letters"
    assert re.match(r" +3  \d+ s +PoisonError: 7 bytes that are no JobRequested *$", lines[2])
    assert re.match(r" +1  \d+ s +PoisonError: other *$", lines[3])
    assert re.match(r"0:3 +\d+ s +4  2:8 +PoisonError: other *$", lines[6])
    assert len(lines) == 11


def test_list_shows_the_newest_and_says_how_many_more(dlq):
    dlq.die(*range(5))
    said = dlq("list", "--limit", "2").stdout
    assert "0:4" in said
    assert "0:2" not in said
    assert "and 3 more; --limit shows them" in said


def test_nothing_is_cut_on_a_narrow_terminal(dlq):
    dlq.die(1, cause="a " * 60 + "end")
    assert "end" in dlq("list", columns="80").stdout


def test_list_as_a_document(dlq):
    dlq.die(5)
    (topic,) = dlq.json("list")["topics"]
    assert (topic["topic"], topic["waiting"], topic["replayed"]) == (REQUESTED, 1, 0)
    assert topic["causes"][0]["count"] == 1
    (letter,) = topic["letters"]
    assert letter["letter"] == "0:0"
    assert letter["origin"] == {"topic": REQUESTED, "partition": 2, "offset": 5}
    assert letter["event"]["schema"] == "headrace.events.v1.JobRequested/1"


def test_list_of_one_topic(dlq):
    dlq.die(1)
    dlq.die(1, topic=FINISHED)
    assert [each["topic"] for each in dlq.json("list")["topics"]] == [FINISHED, REQUESTED]
    assert [each["topic"] for each in dlq.json("list", "--topic", FINISHED)["topics"]] == [FINISHED]
    assert [each["topic"] for each in dlq.json("list", "--topic", f"{FINISHED}.dead")["topics"]] == [FINISHED]


def test_show_tells_everything(dlq):
    dlq.die(5)
    said = dlq("show", "0:0").stdout
    for wanted in (
        "PoisonError: no such model",
        f"{REQUESTED} 2:5",
        "ce_id",
        '"job": "job_1"',
        "in _die",
        "raise PoisonError(cause)",
    ):
        assert wanted in said


def test_show_as_a_document(dlq):
    dlq.die(5)
    found = dlq.json("show", "0:0")
    assert found["value"] == {"tenant": "t1", "part": {"job": "job_1", "part": 2}}
    assert found["headers"]["headrace-attempt"] == "4"
    assert "PoisonError" in found["stack"]


def test_show_of_bytes_that_are_nothing(dlq):
    dlq.die(5, value=b"\xff\x00\x01")
    assert "ff0001" in dlq("show", "0:0").stdout
    assert dlq.json("show", "0:0")["value"] is None


def test_show_tells_no_secret(dlq):
    job = SubmitJobRequest(webhook=Webhook(url="https://x", secret="shared secret of a caller"))
    value = JobRequested(tenant="t1", submission=JobRequested.Submission(key_id="k", job=job))
    dlq.die(5, value=value.SerializeToString())
    said = dlq("show", "0:0").stdout
    assert "https://x" in said
    assert "shared secret" not in said


def test_what_is_in_a_message_cannot_steer_a_terminal(dlq):
    dlq.die(5, cause="\x1b[31mred")
    for words in (("list",), ("show", "0:0")):
        assert "\x1b" not in dlq(*words).stdout


def test_replay_of_named_letters(dlq):
    dlq.die(5, 6, 7)
    assert dlq("replay", "0:0", "0:2").stdout == f"2 sent back from {REQUESTED}.dead\n"
    assert len(dlq.came_back()) == 2
    (topic,) = dlq.json("list")["topics"]
    assert [letter["letter"] for letter in topic["letters"]] == ["0:1"]
    assert topic["replayed"] == 2
    states = {each["letter"]: each["replayed"] for each in dlq.json("list", "--all-states")["topics"][0]["letters"]}
    assert states == {"0:0": True, "0:1": False, "0:2": True}


def test_replay_of_a_cause_asks_first(dlq):
    dlq.die(5, 6, cause="store was away")
    dlq.die(7, cause="other")
    refused = dlq("replay", "--cause", "Store Was", code=2)
    assert "nobody to ask" in refused.stderr
    assert not dlq.came_back()
    assert dlq.json("replay", "--cause", "Store Was", "--yes")["replayed"] == 2
    assert len(dlq.came_back()) == 2


def test_replay_of_all_leaves_out_what_was_replayed(dlq):
    dlq.die(5, 6)
    dlq("replay", "0:0")
    dlq("replay", "--all", "--yes")
    assert len(dlq.came_back()) == 2
    assert dlq("list").stdout == "no dead letters\n"


def test_replay_of_all_goes_to_each_ones_topic(dlq):
    dlq.die(1)
    dlq.die(2, topic=FINISHED)
    dlq("replay", "--all", "--yes")
    assert [len(dlq.came_back(topic)) for topic in (REQUESTED, FINISHED)] == [1, 1]


def test_a_dry_run_sends_nothing(dlq):
    dlq.die(5, 6)
    assert dlq("replay", "--all", "--dry-run").stdout == f"would send back 2 of {REQUESTED}.dead: 0:0 0:1\n"
    assert dlq.json("replay", "--all", "--dry-run")["would_replay"] == {f"{REQUESTED}.dead": ["0:0", "0:1"]}
    assert not dlq.came_back()
    assert dlq.json("list")["topics"][0]["waiting"] == 2


def test_a_stub_cannot_be_sent_back_and_says_where_the_original_is(dlq):
    dlq.die(5, value=b"x" * 200_000)
    done = dlq("replay", "0:0", code=1)
    assert f"not 0:0: 200000 bytes were too many to be moved. It stands at {REQUESTED} 2:5" in done.stderr
    assert "only a stub was moved" in dlq("show", "0:0").stdout
    assert not dlq.came_back()


def test_parked_messages_come_back_by_command(dlq):
    dlq.park(5)
    assert "headrace.events.v1.JobRequested/1" in dlq("list", "--parked").stdout
    assert dlq("replay", "--parked", "--all", "--yes").stdout == f"1 sent back from {REQUESTED}.parked\n"
    (back,) = dlq.came_back()
    assert back.value == PART.SerializeToString()
    assert dlq("list", "--parked").stdout == "no parked messages\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("show", "9:9"), 1, "has no letter 9:9"),
        (("show", "nonsense"), 2, "names no letter"),
        (("replay", "0:0", "0:9"), 1, "has no letter 0:9"),
        (("replay",), 2, "say which letters"),
        (("replay", "0:0", "--all"), 2, "say which letters"),
    ],
)
def test_what_is_not_there_is_an_error(dlq, words, code, said):
    dlq.die(5)
    assert said in dlq(*words, code=code).stderr


def test_letters_of_several_topics_need_their_topic(dlq):
    dlq.die(5)
    dlq.die(5, topic=FINISHED)
    assert f"say which with --topic: {FINISHED}, {REQUESTED}" in dlq("show", "0:0", code=2).stderr
    assert dlq.json("show", "0:0", "--topic", FINISHED)["topic"] == FINISHED


def test_brokers_that_are_away_are_an_error(dlq):
    dlq.broker.up = False
    assert "did not answer" in dlq("list", code=1).stderr
    assert "did not answer" in dlq.json("list", code=1)["error"]["message"]


def test_the_brokers_are_those_of_the_platform_unless_named():
    given = {
        "gateway": {"kafka": {"brokers": ["gateway:9092"], "connect_timeout_ms": 500}},
        "jobs": {"kafka": {"connect_timeout_ms": 700}},
    }
    listed = brokers_of(Config(services=given), "").settings
    assert (listed.brokers, listed.connect_timeout_ms) == (("gateway:9092",), 700)
    assert brokers_of(Config(services=given), "a:1,b:2").settings.brokers == ("a:1", "b:2")
    assert brokers_of(Config(), "").settings.brokers == ("127.0.0.1:8131",)
    given["jobs"]["kafka"]["brokers"] = ["jobs:9092"]
    assert brokers_of(Config(services=given), "").settings.brokers == ("jobs:9092",)


def test_settings_that_cannot_be_used_are_an_error():
    with pytest.raises(CliError, match="the settings of Kafka cannot be used"):
        brokers_of(Config(services={"jobs": {"kafka": {"brokerz": 1}}}), "")
