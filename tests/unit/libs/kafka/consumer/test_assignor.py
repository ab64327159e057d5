"""Two members of one topic of three partitions; the second one joins later, so that one partition moves."""

from types import SimpleNamespace

from kafka import TopicPartition
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment

from libs.kafka.consumer.assignor import MOVE_SECONDS, WholeAssignor

TOPIC = "jobs"


class Cluster:
    def partitions_for_topic(self, topic):
        return {0, 1, 2}

    def topics(self, *_):
        return {TOPIC}


def member(name, *owned):
    at = [SimpleNamespace(topic=TOPIC, partitions=list(owned))] if owned else []
    metadata = SimpleNamespace(topics=[TOPIC], owned_partitions=at, generation_id=1)
    return SimpleNamespace(member_id=name, metadata=metadata)


def given(assignment):
    return sorted(TopicPartition(*each) for item in assignment.values() for each in item.partitions())


class World:
    def __init__(self):
        self.now = 100.0
        self.owned = []
        self.assignor = WholeAssignor(lambda: self.owned, lambda: self.now)

    def generation(self, *members, leads=True):
        made = self.assignor.assign(Cluster(), members) if leads else {}
        own = made.get(members[0].member_id) or ConsumerProtocolAssignment(0, [], b"")
        self.assignor.on_assignment(own, 1)
        return made


def test_the_leader_asks_again_for_a_partition_that_was_let_go_of_and_never_given():
    world = World()
    made = world.generation(member("a", 0, 1, 2), member("b"))
    assert len(given(made)) == 2  # the third is on its way
    world.now += MOVE_SECONDS - 0.1
    assert not world.assignor.overdue()
    world.now += 0.1
    assert world.assignor.overdue()
    assert not world.assignor.overdue()  # once: what it asked for takes as long
    world.now += MOVE_SECONDS
    assert world.assignor.overdue()


def test_a_move_that_was_ended_is_not_asked_for():
    world = World()
    world.generation(member("a", 0, 1, 2), member("b"))
    assert len(given(world.generation(member("a", 0, 1), member("b")))) == 3
    world.now += 2 * MOVE_SECONDS
    assert not world.assignor.overdue()


def test_what_another_leader_has_made_is_not_asked_for():
    world = World()
    world.generation(member("a", 0, 1, 2), member("b"))
    world.generation(member("a", 0, 1), leads=False)
    world.now += 2 * MOVE_SECONDS
    assert not world.assignor.overdue()


def claimed(world):
    told = world.assignor.metadata([TOPIC])
    return [(at.topic, list(at.partitions)) for at in told.owned_partitions]


def test_a_member_claims_what_it_has_and_not_what_it_lost_with_its_membership():
    world = World()
    world.generation(member("a"))
    world.owned = [TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1), TopicPartition(TOPIC, 2)]
    assert claimed(world) == [(TOPIC, [0, 1, 2])]
    world.owned = []
    assert claimed(world) == []
