import json
import os
from pathlib import Path

import pytest
import yaml

from cli.config import Config, Ports, Price, Services, Transports, Worker
from cli.plan import plan
from libs.settings import parse
from services.jobs.settings import JobsSettings
from services.router.settings import RouterSettings


@pytest.fixture
def planned(tmp_path):
    def make(**settings):
        return {spec.name: spec for spec in plan(Config(state_dir=tmp_path / "state", **settings))}

    return make


def flag(spec, name):
    return spec.argv[spec.argv.index(name) + 1]


def test_the_processes_in_the_order_of_the_table(planned):
    specs = planned()
    assert list(specs) == ["valkey", "kafka", "router", "gateway", "jobs", "inference-0", "inference-1"]
    assert [spec.kind for spec in specs.values()] == [
        "store", "broker", "router", "gateway", "jobs", "worker", "worker",
    ]  # fmt: skip


def test_the_second_worker_loads_after_the_first(planned):
    specs = planned()
    assert [specs[name].after for name in ("router", "gateway", "inference-0", "inference-1")] == [
        "", "", "", "inference-0",
    ]  # fmt: skip


def test_the_store_syncs_every_second_on_loopback_only(planned):
    store = planned()["valkey"]
    assert (flag(store, "--appendonly"), flag(store, "--appendfsync")) == ("yes", "everysec")
    assert flag(store, "--bind") == "127.0.0.1"


def test_the_router_knows_every_worker(planned):
    assert json.loads(flag(planned()["router"], "--workers")) == ["127.0.0.1:8111", "127.0.0.1:8112"]


def test_workers_are_told_their_name_pools_and_core(planned):
    specs = planned(workers=(Worker(pools=("small",), cores="3"), Worker(engine="simulated")))
    first, second = specs["inference-0"], specs["inference-1"]
    assert (flag(first, "--name"), json.loads(flag(first, "--model.pools"))) == ("inference-0", ["small"])
    assert flag(first, "--vllm.cpu_cores") == "3"
    assert "--vllm.cpu_cores" not in second.argv
    assert flag(second, "--engine.kind") == "simulated"


def test_only_an_explicit_wish_lets_calls_in_without_a_key(planned):
    assert "--anonymous" not in planned()["gateway"].argv
    assert flag(planned(anonymous=True)["gateway"], "--anonymous") == "true"


def test_transports_are_passed_on(planned):
    gateway = planned(transports=Transports(router="grpc", inference="trunk"))["gateway"]
    assert (flag(gateway, "--router.transport"), flag(gateway, "--inference.transport")) == ("grpc", "trunk")


def test_settings_of_services_go_by_file_and_a_workers_own_win(planned):
    common = {"vllm": {"max_num_seqs": 4, "block_size": 64}}
    own = Worker(settings={"vllm": {"max_num_seqs": 8}})
    specs = planned(services=Services(inference=common), workers=(own, Worker()))
    read = [yaml.safe_load(Path(flag(specs[f"inference-{i}"], "--config")).read_text()) for i in (0, 1)]
    assert read == [{"vllm": {"max_num_seqs": 8, "block_size": 64}}, common]
    assert "--config" not in specs["router"].argv


def test_every_service_knows_its_parent(planned):
    specs = planned()
    ours = [spec for spec in specs.values() if spec.kind not in ("store", "broker")]
    assert {flag(spec, "--parent_pid") for spec in ours} == {str(os.getpid())}


def test_the_gateway_publishes_to_the_broker_that_runs_beside_it_and_does_not_call_it_durable(planned):
    specs = planned()
    assert json.loads(flag(specs["gateway"], "--kafka.brokers")) == [f"127.0.0.1:{specs['kafka'].port}"]
    assert "--kafka.durable" not in specs["gateway"].argv
    assert f"tcp://127.0.0.1:{specs['kafka'].port}" in specs["kafka"].argv


def test_brokers_of_ones_own_take_the_embedded_ones_place(planned):
    own = {"kafka": {"brokers": ["kafka-1:9092"], "durable": True}}
    specs = planned(services=Services(gateway=own))
    assert "kafka" not in specs
    assert "--kafka.brokers" not in specs["gateway"].argv
    assert yaml.safe_load(Path(flag(specs["gateway"], "--config")).read_text()) == own


def test_gateway_and_jobs_know_each_other(planned):
    specs = planned(ports=Ports(inside=8602, jobs=8604, router=8601))
    gateway, jobs = specs["gateway"], specs["jobs"]
    assert flag(gateway, "--inside.port") == "8602"
    assert json.loads(flag(gateway, "--jobs.addresses")) == ["127.0.0.1:8604"] == [f"127.0.0.1:{jobs.port}"]
    assert (flag(jobs, "--rpc.port"), json.loads(flag(jobs, "--edge.gateways"))) == ("8604", ["127.0.0.1:8602"])
    assert json.loads(flag(jobs, "--edge.routers")) == ["127.0.0.1:8601"]
    assert flag(jobs, "--valkey.url") == flag(gateway, "--valkey.url")
    assert jobs.after == "gateway"


def test_jobs_use_the_broker_that_runs_beside_them(planned):
    jobs = planned()["jobs"]
    assert json.loads(flag(jobs, "--kafka.brokers")) == ["127.0.0.1:8131"]
    assert yaml.safe_load(Path(flag(jobs, "--config")).read_text()) == {"consumer": {"session_timeout_ms": 6_000}}


def test_jobs_use_the_gateways_kafka_under_what_they_are_told_themselves(planned):
    own = {"kafka": {"brokers": ["kafka-1:9092"], "durable": True}, "records": {"directory": "/srv/blobs"}}
    more = {"attempts": {"steps_max": 4}, "kafka": {"client_id": "jobs"}}
    jobs = planned(services=Services(gateway=own, jobs=more))["jobs"]
    assert "--kafka.brokers" not in jobs.argv
    assert yaml.safe_load(Path(flag(jobs, "--config")).read_text()) == {
        "attempts": {"steps_max": 4},
        "blobs_directory": "/srv/blobs",
        "kafka": {"brokers": ["kafka-1:9092"], "durable": True, "client_id": "jobs"},
    }


def test_jobs_take_what_they_are_given(planned):
    given = {"attempts": {"steps_max": 4}, "consumer": {"session_timeout_ms": 9_000}}
    jobs = planned(services=Services(jobs=given))["jobs"]
    found = parse(JobsSettings, jobs.argv[3:], {}).settings
    assert (found.kafka.brokers, found.rpc.port, found.attempts.steps_max) == (("127.0.0.1:8131",), 8104, 4)
    assert found.consumer.session_timeout_ms == 9_000


def test_the_router_gets_the_tiers_that_workers_serve_at_their_prices(planned):
    router = planned()["router"]
    assert json.loads(flag(router, "--tiers.small")) == [
        {
            "pool": "small",
            "input_usd_per_million": "0.10",
            "cached_usd_per_million": "0.01",
            "output_usd_per_million": "0.40",
        }
    ]
    assert [each["pool"] for each in json.loads(flag(router, "--tiers.large"))] == ["large"]
    assert "--tiers.frontier" not in router.argv
    assert "--tiers.large" not in planned(workers=(Worker(pools=("small",)),))["router"].argv


def test_one_line_points_a_tier_at_another_pool_or_provider(planned):
    upstream = Worker(engine="upstream", model="big-one", pools=(), price=Price(input="3", cached="0.3", output="15"))
    router = planned(workers=(Worker(), upstream), tiers={"small": ["small"], "frontier": ["big-one"]})["router"]
    (frontier,) = json.loads(flag(router, "--tiers.frontier"))
    assert (frontier["pool"], frontier["input_usd_per_million"]) == ("big-one", "3")
    assert "--tiers.large" not in router.argv


def test_an_upstream_without_a_price_is_in_no_tier_by_itself(planned):
    router = planned(workers=(Worker(engine="upstream", model="big-one"),))["router"]
    assert not any(part.startswith("--tiers.") for part in router.argv)


@pytest.mark.parametrize(
    ("worker", "word"), [(Worker(), "no worker serves"), (Worker(engine="upstream", model="big-one"), "has no price")]
)
def test_a_tier_that_nobody_can_serve_or_price_is_refused(planned, worker, word):
    with pytest.raises(ValueError, match=word):
        planned(workers=(worker,), tiers={"frontier": ["big-one"]})


def test_tiers_of_the_routers_own_settings_win(planned):
    router = planned(services=Services(router={"tiers": {"small": [{"pool": "small"}]}}))["router"]
    assert not any(part.startswith("--tiers.") for part in router.argv)


def test_the_router_takes_the_tiers_as_they_are_given(planned):
    router = planned()["router"]
    argv = [part for name in ("--tiers.small", "--tiers.large") for part in (name, flag(router, name))]
    tiers = parse(RouterSettings, argv, {}).settings.tiers
    assert (tiers.small[0].pool, str(tiers.large[0].output_usd_per_million)) == ("small", "0.40")
