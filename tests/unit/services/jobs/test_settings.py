from libs.settings import parse
from services.jobs.settings import JobsSettings

BROKERS = ("--kafka.brokers", '["kafka:9092"]')


def test_one_flag_of_a_group_leaves_the_groups_other_defaults_as_they_are():
    flags = (*BROKERS, "--valkey.url", "redis://store:1", "--rpc.reflection", "true")
    given, bare = parse(JobsSettings, flags, {}).settings, parse(JobsSettings, BROKERS, {}).settings
    assert (given.valkey.op_timeout_ms, given.valkey.connect_timeout_ms) == (1_000, 1_000)
    assert given.rpc.port == bare.rpc.port == 8104
    assert bare.valkey.op_timeout_ms == 1_000
