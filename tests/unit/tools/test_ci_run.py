"""`.ci/run` with a scripted `make`: what it runs, skips and returns."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / ".ci/run"
MAKE = """#!/bin/bash
[ "$1" = "-pRrq" ] || [ "$2" = "-pRrq" ] && { printf 'test-vllm:\\ntest-e2e:\\ntest-kafka:\\ntest-other:\\n'; exit 1; }
target="${@: -1}"
echo "$target" >> made
[ "$target" = "$BREAK" ] && exit 1
cat # must not wait for a terminal
exit 0
"""
# Asked for vLLM by a script, and for what Kafka needs.
PYTHON = """#!/bin/bash
[ "$*" = "tools/kafka_node.py missing" ] && {{ printf '{kafka}'; exit 0; }}
exit {vllm}
"""


@pytest.fixture
def ci(tmp_path):
    """Runs it; returns (exit status, targets made, output). `vllm` = whether that is installed."""

    def run(broken="", *, vllm=True, kafka=True):
        for name, text in {
            ".ci/run": SCRIPT.read_text(),
            "bin/make": MAKE,
            ".venv/bin/python": PYTHON.format(vllm=0 if vllm else 1, kafka="" if kafka else "needs Java 17 or later"),
            "bin/awk": '#!/bin/bash\n[[ "$*" == *MemAvailable* ]] && echo 64 || exec /usr/bin/awk "$@"\n',
        }.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "BREAK": broken}
        done = subprocess.run([tmp_path / ".ci/run"], env=env, capture_output=True, text=True, check=False)
        return done.returncode, (tmp_path / "made").read_text().split(), done.stdout

    return run


def test_all_suites_run_in_order(ci):
    code, made, _ = ci()
    assert code == 0
    assert made == ["setup", "check", "model", "test", "test-e2e", "test-kafka", "test-other", "test-vllm"]


@pytest.mark.parametrize("broken", ["check", "model", "test", "test-e2e", "test-kafka", "test-other", "test-vllm"])
def test_one_failure_fails_the_run_and_the_rest_still_runs(ci, broken):
    code, made, output = ci(broken)
    assert code != 0
    assert len(made) == 8
    assert f"FAILED   {broken}\n" in output


def test_without_an_environment_nothing_runs(ci):
    code, made, _ = ci("setup")
    assert code != 0
    assert made == ["setup"]


def test_suites_without_their_prerequisites_are_skipped_with_the_reason(ci):
    code, made, output = ci(vllm=False)
    assert code == 0
    assert made == ["setup", "check", "test", "test-other"]
    assert "skipped  test-vllm: vLLM is not installed" in output
    assert "skipped  test-e2e: vLLM is not installed" in output
    assert "skipped  test-kafka: vLLM is not installed" in output  # it runs whole platforms, too


def test_without_java_the_kafka_suite_is_skipped_with_its_reason(ci):
    code, made, output = ci(kafka=False)
    assert code == 0
    assert "test-kafka" not in made
    assert "skipped  test-kafka: needs Java 17 or later" in output
