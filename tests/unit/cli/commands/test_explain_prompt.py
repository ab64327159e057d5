from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app

EASY = "What is the capital of France?"


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["explain", *words], env={"COLUMNS": "200"})


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def test_a_prompt_is_explained_without_a_server():
    done = run(EASY)
    assert done.exit_code == 0
    for words in ("small", "probability 0.", "characters", "speaks for", "wording:"):
        assert words in done.stdout


def test_json_has_the_same_facts():
    found = json.loads(run(EASY, "--json").stdout)
    assert found["tier"] == "small"
    assert found["score"] < found["thresholds"]["large"]
    assert {"name": "characters", "pull": found["features"][0]["pull"]} in found["features"]


def test_where_nothing_speaks_policy_decides():
    done = run("你好")
    assert "unsure: policy decides (policy.unsure: large)" in done.stdout
    assert json.loads(run("你好", "--json").stdout)["tier"] is None


def test_thresholds_are_those_of_the_settings_file(tmp_path: Path):
    (tmp_path / "headrace.yaml").write_text("services: {router: {thresholds: {large: 0.2}, policy: {unsure: small}}}\n")
    assert json.loads(run(EASY, "--json").stdout)["tier"] == "large"
    assert "policy.unsure: small" in run("你好").stdout


def test_settings_that_are_wrong_are_told(tmp_path: Path):
    (tmp_path / "headrace.yaml").write_text("services: {router: {thresholds: {large: 7}}}\n")
    done = run(EASY)
    assert done.exit_code == 2
    assert "thresholds" in done.stderr or "large" in done.stderr


@pytest.mark.parametrize("words", [[], [EASY, "--request", "abc"]])
def test_one_thing_is_explained_at_a_time(words: list[str]):
    done = run(*words)
    assert done.exit_code == 2
    assert "headrace explain" in done.stderr
