from services.router.domain.registry import Registry, Verdict
from services.router.domain.worker import Description, StateMessage, WorkerState

A, B = "host:1", "host:2"


def state(sequence, *, boot="b1", snapshot=False, running=0, waiting=0, draining=False, healthy=True):
    return StateMessage(boot, sequence, snapshot, running, waiting, draining, healthy)


def describe(name="w0", boot="b1", model="m", pools=("small",), digest="d1"):
    return Description(name, boot, model, pools, digest)


def live_registry():
    registry = Registry([A], silence_seconds=0.8)
    registry.heard(A, state(1, snapshot=True), 0.0)
    registry.described(A, describe())
    return registry


def names(registry):
    return {name: [worker.name for worker in entry.default.workers] for name, entry in registry.catalog.entries.items()}


def test_a_worker_is_placed_on_once_it_is_heard_and_described():
    registry = Registry([A], silence_seconds=0.8)
    assert registry.heard(A, state(1, snapshot=True), 0.0) is Verdict.DESCRIBE
    assert names(registry) == {}
    registry.described(A, describe())
    assert names(registry) == {"m": ["w0"], "small": ["w0"]}
    assert registry.heard(A, state(2), 0.1) is Verdict.FINE


def test_a_gap_a_repeat_and_a_missing_snapshot_ask_for_a_new_subscription():
    registry = live_registry()
    assert registry.heard(A, state(3), 0.1) is Verdict.RESUBSCRIBE
    assert registry.heard(A, state(1), 0.1) is Verdict.RESUBSCRIBE
    assert registry.heard(A, state(2, boot="b2"), 0.1) is Verdict.RESUBSCRIBE
    assert registry.workers[A].last.sequence == 1
    assert registry.heard(A, state(7, snapshot=True), 0.1) is Verdict.FINE
    registry.lost(A)
    assert registry.heard(A, state(8), 0.1) is Verdict.RESUBSCRIBE


def test_a_new_life_is_not_placed_on_before_it_is_described():
    registry = live_registry()
    assert registry.heard(A, state(1, boot="b2", snapshot=True), 0.1) is Verdict.DESCRIBE
    assert names(registry) == {"m": [], "small": []}
    registry.described(A, describe(boot="b2"))
    assert names(registry)["m"] == ["w0"]


def test_silence_takes_a_worker_out_and_its_word_brings_it_back():
    registry = live_registry()
    for tenth in range(1, 9):
        registry.sweep(tenth / 10)
    assert names(registry)["m"] == ["w0"]
    registry.sweep(0.9)
    assert registry.workers[A].state is WorkerState.SILENT
    assert names(registry)["m"] == []
    registry.heard(A, state(2), 0.95)
    assert names(registry)["m"] == ["w0"]


def test_nobody_is_judged_after_this_process_itself_was_away():
    registry = live_registry()
    registry.sweep(0.1)
    registry.sweep(5.0)
    assert names(registry)["m"] == ["w0"]
    registry.sweep(5.1)
    assert names(registry)["m"] == []


def test_draining_unhealthy_and_lost_workers_leave_at_once():
    for message, expected in [
        (state(2, draining=True), WorkerState.DRAINING),
        (state(2, healthy=False), WorkerState.UNHEALTHY),
    ]:
        registry = live_registry()
        registry.heard(A, message, 0.1)
        assert registry.workers[A].state is expected
        assert names(registry)["m"] == []
    registry = live_registry()
    registry.lost(A)
    assert registry.workers[A].state is WorkerState.UNREACHABLE
    assert names(registry)["m"] == []


def test_only_changes_of_who_can_be_placed_on_raise_the_generation():
    registry = live_registry()
    before = registry.generation
    registry.heard(A, state(2, running=5), 0.1)
    assert registry.generation == before
    registry.heard(A, state(3, draining=True), 0.2)
    assert registry.generation == before + 1


def test_own_placements_count_until_a_newer_message_has_them():
    registry = live_registry()
    worker = registry.workers[A]
    worker.placed(0.10)
    worker.placed(0.12)
    assert worker.load == 2
    registry.heard(A, state(2, running=1), 0.14)
    assert worker.load == 1 + 1  # the one at 0.12 may have been in transit
    registry.heard(A, state(3, running=2), 0.39)
    assert worker.load == 2


def test_calls_sent_to_a_lost_worker_are_no_load_of_the_next_one():
    registry = live_registry()
    registry.workers[A].placed(0.1)
    registry.lost(A)
    registry.heard(A, state(1, boot="b2", snapshot=True), 0.11)
    assert registry.workers[A].load == 0


def test_new_sessions_get_the_digest_with_most_workers_and_ties_are_stable():
    registry = Registry(["h:1", "h:2", "h:3"], silence_seconds=0.8)
    for index, (address, digest) in enumerate([("h:1", "zz"), ("h:2", "aa"), ("h:3", "zz")]):
        registry.heard(address, state(1, snapshot=True), 0.0)
        registry.described(address, describe(name=f"w{index}", digest=digest))
    assert names(registry)["m"] == ["w0", "w2"]
    assert set(registry.catalog.entries["m"].variants) == {"zz", "aa"}
    registry.lost("h:3")
    assert names(registry)["m"] == ["w1"]
    assert registry.catalog.entries["m"].description.model_digest == "aa"


def test_two_processes_of_one_name_count_once():
    registry = Registry([A, B], silence_seconds=0.8)
    for address in (A, B):
        registry.heard(address, state(1, snapshot=True), 0.0)
        registry.described(address, describe(name="w0"))
    assert names(registry)["m"] == ["w0"]


def test_an_alias_is_told_from_a_models_own_name():
    entries = live_registry().catalog.entries
    assert (entries["small"].alias, entries["m"].alias) == (True, False)


def test_gateways_are_told_a_block_size_by_which_something_is_found():
    registry = Registry([A, B], silence_seconds=0.8)
    for address, name, size in ((A, "w0", 0), (B, "w1", 16)):
        registry.heard(address, state(1, snapshot=True), 0.0)
        said = Description(name, "b1", "m", (), "d1", block_tokens=size, kv_events=size > 0)
        registry.described(address, said)
    assert registry.catalog.entries["m"].description.block_tokens == 16  # the first tells no blocks
    registry.described(A, Description("w0", "b1", "m", (), "d1", block_tokens=32, kv_events=True))
    assert registry.catalog.entries["m"].description.block_tokens == 32
    registry.lost(A)
    assert registry.catalog.entries["m"].description.block_tokens == 16  # the first is gone
    registry.lost(B)
    assert registry.catalog.entries["m"].description.block_tokens == 32  # all are: as before
