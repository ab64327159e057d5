"""kafka-python's consumer in its thread: everything in here blocks and belongs to that thread.

The client has a loop of its own in another thread, which sends heartbeats: they go on while this one waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import kafka.errors as theirs
from kafka import KafkaConsumer, TopicPartition
from kafka.future import Future
from kafka.structs import OffsetAndMetadata

from libs.kafka.client import as_ours, client_config, open_client, translated
from libs.kafka.consumer.assignor import WholeAssignor
from libs.kafka.consumer.claims import Claims
from libs.kafka.consumer.handover import CommitRequest, FlowRequest, Handover, Request
from libs.kafka.consumer.lull import FETCH_MS, Lull
from libs.kafka.consumer.outage import pauses
from libs.kafka.consumer.port import Claim, Fetched, Polled
from libs.kafka.errors import BrokerUnavailableError, KafkaError, TopicUnknownError
from libs.kafka.handling import Delivery
from libs.kafka.letter_headers import ATTEMPT, REPLAYED, read_way
from libs.kafka.ports import TopicSpec
from libs.kafka.settings import ConsumerSettings, KafkaSettings
from libs.kafka.topics import prepare_topics

# How long the thread may be in a poll before it looks for requests.
POLL_MS = 50
# A poll that only keeps the membership.
STILL_POLL_MS = 1
# A coordinator that moves is unknown for moments.
UNKNOWN_SECONDS = 1.0
HEARTBEAT_MS_MAX = 3_000
FETCH_BYTES_MAX = 50 * 2**20
# How often topics are looked at: one that is created, or gets partitions, is found so soon.
METADATA_MS = 10_000
ENDS_TIMEOUT_MS = 1_000
# Above what the loop takes for it: committing follows the handlers' grace.
COMMIT_SECONDS = 1.0
# Of a commit: this member, or its generation, is no longer of the group.
_FENCED = (
    theirs.CommitFailedError,
    theirs.UnknownMemberIdError,
    theirs.IllegalGenerationError,
    theirs.FencedInstanceIdError,
)


class KafkaMember:
    """One member of one group, over and over: when its client fails it is given up, and another is made."""

    def __init__(
        self,
        settings: KafkaSettings,
        consumer: ConsumerSettings,
        group: str,
        topics: Sequence[TopicSpec],
        handover: Handover,
    ) -> None:
        self._settings, self._wanted, self._group, self._topics = settings, consumer, group, tuple(topics)
        self._handover = handover
        self._client: Any = None
        self._claims = Claims(handover, consumer.revoke_grace_seconds + COMMIT_SECONDS, self._serve_all, self._sleep)
        self._unknown_since: float | None = None
        self._told = False
        self._ends_at = 0.0
        self._assignor = WholeAssignor(self._owned)
        # Whose commits the group has refused.
        self._refused: list[Claim] = []

    def run(self) -> None:
        """Until the handover is closing. Raises nothing."""
        retry = self._pauses()
        while not self._handover.closing:
            began = time.monotonic()
            try:
                with translated(self._settings, f"let {self._group} consume"):
                    self._open()
                    self._consume()
            except KafkaError as error:
                self._handover.tell(error)
            except Exception as error:  # what the client cannot read; from what is committed it is tried again
                self._handover.tell(_unreadable(self._group, error))
            self._give_up()
            if time.monotonic() - began > self._wanted.retry_seconds_max * 2:
                retry = self._pauses()
            self._rest(next(retry))
        self._serve_all()
        self._handover.finish()

    def _open(self) -> None:
        names = [topic.name for topic in self._topics]
        if missing := set(names) - prepare_topics(self._settings, self._topics):
            raise TopicUnknownError(
                f"Kafka has no topic {', '.join(sorted(missing))}. Create it, or set kafka.create_topics."
            )
        self._assignor = WholeAssignor(self._owned)
        self._client = open_client(KafkaConsumer, **self._options())
        self._client.subscribe(names, listener=self._claims)
        self._unknown_since, self._told = None, False

    def _options(self) -> dict[str, object]:
        wanted = self._wanted
        return client_config(self._settings) | {
            "group_id": self._group,
            "enable_auto_commit": False,
            # What the group has committed may have been deleted; then as much as there is, never as little.
            "auto_offset_reset": "earliest",
            "allow_auto_create_topics": False,
            "partition_assignment_strategy": [self._assignor],
            "max_poll_records": wanted.poll_records_max,
            "session_timeout_ms": wanted.session_timeout_ms,
            "heartbeat_interval_ms": min(wanted.session_timeout_ms // 4, HEARTBEAT_MS_MAX),
            "max_poll_interval_ms": wanted.poll_interval_ms_max,
            "fetch_max_wait_ms": FETCH_MS,
            "fetch_max_bytes": min(wanted.held_bytes_max, FETCH_BYTES_MAX),
            "metadata_max_age_ms": METADATA_MS,
            "metrics_enabled": False,
        }

    def _consume(self) -> None:
        client, lull = self._client, Lull(self._client, self._handover)
        while not self._handover.closing:
            self._serve_all()
            if self._handover.full:
                self._serve(self._handover.request(POLL_MS / 1000))
                continue
            # With every partition paused no messages come, and only requests are worth waiting for.
            self._free_parked()
            self._keep_join()
            still = bool(paused := client.paused()) and client.assignment() == paused
            waits = still or lull.begun()
            polled = client.poll(timeout_ms=STILL_POLL_MS if waits else POLL_MS)
            if polled:
                lull.end()
                self._handover.tell(self._fetched(polled))
            elif waits:
                self._serve(lull.wait())
            self._leave_refused()
            self._ask_for_left_out()
            self._watch()

    def _leave_refused(self) -> None:
        """Ends a membership that the group has refused and the client goes on with.

        Where it was joining already it keeps the partitions that it is given again, and never says that they were lost:
        nobody would handle what it fetches of them.
        """
        coordinator = self._client._coordinator
        if not self._refused or coordinator.need_rejoin() or coordinator.generation_if_stable() is None:
            return
        refused, self._refused = self._refused, []
        if self._claims.held(refused):
            raise theirs.UnknownMemberIdError

    def _owned(self) -> Collection[TopicPartition]:
        client = self._client
        return () if client is None else client.assignment()

    def _ask_for_left_out(self) -> None:
        """As the group's leader: another generation, where a partition is still nobody's (see WholeAssignor)."""
        coordinator = self._client._coordinator
        if coordinator.need_rejoin() or coordinator.generation_if_stable() is None:
            return
        if self._assignor.overdue():
            coordinator.request_rejoin()

    def _keep_join(self) -> None:
        """A join that is under way when a poll ends must be taken up by the next one.

        The client drops the result of a join that ends between two polls and joins again, for ever where joins take as
        long as polls; where the join was for new partitions it forgets even that, and stands still without heartbeats.
        """
        coordinator = self._client._coordinator
        if (join := coordinator._join_task) is not None:
            coordinator._join_task = KeptJoin(join)
            coordinator.request_rejoin()

    def _free_parked(self) -> None:
        """What was fetched of a partition when it was paused is parked, and comes back only into an empty slot.

        The client leaves a used-up batch in that slot, so that a resumed partition would stand still for ever.
        """
        fetcher = self._client._fetcher
        if not fetcher._next_partition_records:
            fetcher._next_partition_records = None

    def _fetched(self, polled: dict[TopicPartition, list[Any]]) -> Polled:
        client, claims = self._client, self._claims
        return Polled(
            fetched=[_fetched(claims, at, records) for at, records in polled.items()],
            ends={claims.of(at): client.highwater(at) or 0 for at in polled},
        )

    def _watch(self) -> None:
        """Looks, now and then, whether the group can be reached, and where paused partitions end."""
        now = time.monotonic()
        if self._client._coordinator.coordinator_unknown():
            self._missed(now)
        elif self._unknown_since is not None:
            self._unknown_since, self._told = None, False
            self._handover.tell(Polled())  # tells that it is back
        elif now >= self._ends_at:
            self._ends_at = now + self._wanted.lag_seconds
            self._look_for_ends()

    def _missed(self, now: float) -> None:
        """The group's coordinator is unknown: told once, and after the session nothing is left to be kept."""
        if self._unknown_since is None:
            self._unknown_since = now
        away = now - self._unknown_since
        if away > self._wanted.session_timeout_ms / 1000:
            raise theirs.NodeNotReadyError("no coordinator")
        if away > UNKNOWN_SECONDS and not self._told:
            self._told = True
            self._handover.tell(as_ours(theirs.NodeNotReadyError(), self._settings, f"let {self._group} consume"))

    def _look_for_ends(self) -> None:
        """A fetch tells where its partition ends, but paused ones are not fetched."""
        paused = [at for at in self._client.paused() if self._claims.find(at) is not None]
        if not paused:
            return
        with suppress(theirs.KafkaError):  # the next look will do
            ends = self._client.end_offsets(paused, timeout_ms=ENDS_TIMEOUT_MS)
            # Tansu's answer counts batches, what a fetch has told is above it.
            seen = {at: max(end, self._client.highwater(at) or 0) for at, end in ends.items()}
            self._handover.tell(Polled(ends={self._claims.of(at): end for at, end in seen.items()}))

    def _serve_all(self) -> None:
        while not self._handover.requests.empty():
            self._serve(self._handover.request(0))

    def _serve(self, request: Request) -> None:
        if isinstance(request, CommitRequest):
            self._commit(request)
        elif isinstance(request, FlowRequest) and self._client is not None:
            mine = self._client.assignment() & set(self._claims.held(request.claims))
            (self._client.pause if request.paused else self._client.resume)(*mine)

    def _commit(self, request: CommitRequest) -> None:
        good, over = self._claims.split(request.offsets)
        if not good or self._client is None:
            request.answered(over)
            return
        # Not `commit_async`: while the coordinator is unknown its future tells of the search for it, not of the commit.
        coordinator = self._client._coordinator
        offsets = {at: OffsetAndMetadata(offset, "", -1) for at, offset in good.items()}
        future = coordinator._manager.call_soon(coordinator._send_offset_commit_request, offsets)
        future.add_callback(lambda _: request.answered(over))
        future.add_errback(partial(self._not_committed, request))

    def _not_committed(self, request: CommitRequest, error: BaseException) -> None:
        rebalancing = any(isinstance(cause, theirs.RebalanceInProgressError) for cause in error.args)
        if isinstance(error, _FENCED) and not rebalancing:
            self._refused.extend(request.offsets)
            request.answered(list(request.offsets))
        else:
            request.answered(as_ours(error, self._settings, "commit offsets"))

    def _give_up(self) -> None:
        self._claims.end_all()
        client, self._client = self._client, None
        if client is None:
            return
        with suppress(Exception):  # it is given up either way
            client.close(autocommit=False, timeout_ms=self._settings.close_timeout_ms)
        with suppress(Exception):  # what `close` leaves behind when it fails: a thread and its sockets
            client._client.close()

    def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._handover.closing and (left := end - time.monotonic()) > 0:
            self._serve(self._handover.request(left))

    def _sleep(self, seconds: float) -> Any:
        """In the client's own loop."""
        return self._client._net.sleep(seconds)

    def _pauses(self) -> Any:
        return pauses(self._wanted.retry_seconds_min, self._wanted.retry_seconds_max)


class KeptJoin(Future):  # type: ignore[misc]  # the client is untyped
    """The outcome of a join, which is not there before somebody waits for it."""

    def __init__(self, join: Future) -> None:
        super().__init__()
        self.join: Future = join.join if isinstance(join, KeptJoin) else join

    def add_errback(self, f: Callable[..., Any], *args: Any, **kwargs: Any) -> KeptJoin:
        """Whoever waits adds this last."""
        super().add_errback(f, *args, **kwargs)
        if not self.is_done:
            self.join.chain(self)
        return self


def _fetched(claims: Claims, at: TopicPartition, records: Sequence[Any]) -> Fetched:
    """The hot path of the thread: about a microsecond for each message."""
    topic, partition = at
    messages, size_bytes = [], 0
    for record in records:
        key, value, headers = record.key or b"", record.value or b"", dict(record.headers)
        message = Delivery(topic, partition, record.offset, key, value, headers, record.timestamp)
        if ATTEMPT in headers or REPLAYED in headers:
            read_way(message)
        messages.append(message)
        size_bytes += len(key) + len(value)
    return Fetched(claims.of(at), messages, size_bytes)


def _unreadable(group: str, error: Exception) -> KafkaError:
    return BrokerUnavailableError(
        f"{group} could not read what Kafka handed out: {type(error).__name__}. It is tried again from what "
        "is committed. If it does not go away, look for a record that is broken (header names must be UTF-8)."
    )
