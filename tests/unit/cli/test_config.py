from pathlib import Path

import pytest

from cli.config import BUNDLED_MODEL, Config, load_config, merged
from cli.errors import CliError


def written(tmp_path, text):
    path = tmp_path / "headrace.yaml"
    path.write_text(text)
    return path


def refusal(tmp_path, text, flags=None):
    with pytest.raises(CliError) as caught:
        load_config(written(tmp_path, text), flags or {})
    assert caught.value.code == 2
    return str(caught.value)


def test_without_a_file_there_are_two_vllm_workers_in_both_pools(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(None, {})
    assert config == Config()
    assert [(w.engine, w.model, w.pools) for w in config.workers] == [("vllm", BUNDLED_MODEL, ("small", "large"))] * 2
    assert (config.worker_names, config.worker_ports) == (["inference-0", "inference-1"], [8111, 8112])
    assert not config.anonymous


def test_the_file_in_the_working_directory_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "ports: {rest: 9000}")
    assert load_config(None, {}).ports.rest == 9000


def test_flags_go_over_the_file_key_by_key(tmp_path):
    config = load_config(written(tmp_path, "ports: {rest: 9000, router: 9001}"), {"ports": {"rest": 9100}})
    assert (config.ports.rest, config.ports.router) == (9100, 9001)


def test_a_file_can_say_everything(tmp_path):
    config = load_config(
        written(
            tmp_path,
            """
            state_dir: elsewhere
            transports: {router: grpc}
            workers:
              - {name: mine, model: qwen, path: models/qwen, pools: [large], cores: "0-3"}
              - {engine: upstream, model: gpt, settings: {upstream: {base_url: "http://127.0.0.1:9"}}}
            services: {inference: {vllm: {max_num_seqs: 4}}}
            restarts: {deaths_max: 9}
            """,
        ),
        {},
    )
    assert config.worker_names == ["mine", "inference-1"]
    assert config.workers[0].path == Path("models/qwen")
    assert not config.needs_bundled_model
    assert config.restarts.deaths_max == 9


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("prots: {}", "prots: is not a setting"),
        ("ports: {rset: 1}", "ports.rset: is not a setting"),
        ("workers: [{engin: vllm}]", "workers.0.engin: is not a setting"),
        ("workers: [{engine: magic}]", "workers.0.engine"),
        ("workers: []", "workers"),
        ("workers: [{model: qwen}]", "give the worker its directory as `path`"),
        ("workers: [{name: a}, {name: a}]", "names must differ"),
        ("workers: [{name: gateway}]", "names must differ"),
        ("ports: {rest: 8112}", "port 8112 is given twice"),
        ("ports: {rest: 70000}", "ports.rest"),
        ("- 1", "is not a mapping"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key(tmp_path, text, word):
    assert word in refusal(tmp_path, text)


def test_a_missing_file_that_was_asked_for_is_an_error(tmp_path):
    with pytest.raises(CliError, match="cannot be read"):
        load_config(tmp_path / "none.yaml", {})


def test_merging_goes_group_by_group():
    assert merged({"a": {"x": 1, "y": 2}, "b": 1}, {"a": {"y": 3}, "c": 4}) == {"a": {"x": 1, "y": 3}, "b": 1, "c": 4}
