from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app

PROMPTS = ["What is the capital of France?", "Prove the theorem and derive the bound.", "hi"]


def run(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(words), input=stdin, env={"COLUMNS": "200"})


def lines(prompts: list[object]) -> str:
    return "".join(json.dumps({"prompt": prompt, "more": 1}) + "\n" for prompt in prompts)


def test_scores_come_one_a_line_in_the_order_of_the_prompts(tmp_path: Path):
    (tmp_path / "in.jsonl").write_text(lines(PROMPTS))
    done = run("router", "score", str(tmp_path / "in.jsonl"))
    scores = [json.loads(line)["score"] for line in done.stdout.splitlines()]
    alone = [json.loads(run("router", "score", stdin=lines([prompt])).stdout)["score"] for prompt in PROMPTS]
    assert done.exit_code == 0
    assert scores == alone
    assert len(set(scores)) == len(PROMPTS)


@pytest.mark.parametrize("source", [[], ["-"]])
def test_prompts_come_from_standard_input_too(source: list[str]):
    done = run("router", "score", *source, stdin=lines(PROMPTS) + "\n")
    assert len(done.stdout.splitlines()) == len(PROMPTS)


@pytest.mark.parametrize(
    ("line", "says"),
    [("{", "line 2 is not JSON"), ('{"text": "x"}', "line 2 has no prompt"), ("[1]", "line 2 has no prompt")],
)
def test_a_bad_line_is_named_and_ends_with_2(line: str, says: str):
    done = run("router", "score", stdin=lines(["hi"]) + line + "\n")
    assert done.exit_code == 2
    assert says in done.stderr
    assert "fix:" in done.stderr


@pytest.mark.parametrize("words", [["no-such-file"], ["-", "--model", "no-such-model"], ["-", "--model", __file__]])
def test_files_that_cannot_be_used_end_with_2(words: list[str]):
    done = run("router", "score", *words, stdin=lines(["hi"]))
    assert done.exit_code == 2
    assert words[-1] in done.stderr


def test_conversations_count_by_their_newest_user_message():
    turns = [{"role": "user", "content": PROMPTS[1]}, {"role": "assistant", "content": "…"}]
    newest = {"role": "user", "content": [{"type": "text", "text": PROMPTS[0]}, {"type": "image_url"}]}
    records = [
        {"messages": [*turns, newest]},
        {"prompt": [{"role": "user", "text": PROMPTS[0]}]},
        {"prompt": PROMPTS[0]},
    ]
    done = run("router", "score", stdin="".join(json.dumps(record) + "\n" for record in records))
    assert len(set(done.stdout.splitlines())) == 1


def traffic(count: int) -> str:
    return lines([f"Compare plan {n} with the others and say what it costs. " * (n + 8) for n in range(count)])


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_calibration_sends_the_wanted_share_to_the_large_tier(share: float):
    done = run("router", "calibrate", "-", "--strong-share", str(share), "--json", stdin=traffic(40))
    found = json.loads(done.stdout)
    scored = run("router", "score", stdin=traffic(40)).stdout.splitlines()
    strong = sum(json.loads(line)["score"] >= found["thresholds"]["large"] for line in scored)
    assert found["turns"] == 40
    assert found["unsure"] == 0
    assert strong / 40 == found["strong_share"]["achieved"] == share


def test_calibration_prints_settings_that_the_router_takes():
    done = run("router", "calibrate", "-", stdin=traffic(20))
    assert done.exit_code == 0
    assert "thresholds:" in done.stdout
    assert "30.0% of turns" in done.stdout


def test_calibration_of_nothing_is_refused():
    done = run("router", "calibrate", "-", stdin="\n")
    assert done.exit_code == 2
    assert "holds no prompt" in done.stderr
