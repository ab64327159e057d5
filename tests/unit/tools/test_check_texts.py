import importlib

import pytest


@pytest.fixture
def check():
    return importlib.import_module("check_texts").find_problems


BAD = {
    "private key": "-----BEGIN RSA PRIVATE " + "KEY-----",
    "API key": "key = 'sk-hr-" + "a1B2" * 8 + "'",
    "OpenAI key": "sk-" + "a1B2" * 8,
    "cloud key": "AKIA" + "ABCDEFGHIJKLMNOP",
    "access token": "ghp_" + "a1" * 16,
    "wheel": "see https://example.org/files/a-1.0" + ".whl",
    "index": "--index" + "-url https://mirror.example/simple",
    "pip.conf": "index" + "-url = https://mirror.example/simple",
    "home": "open('/home/" + "alice/model')",
}


@pytest.mark.parametrize("what", BAD)
def test_what_must_not_be_committed_is_found_with_its_line(check, repository, what):
    (problem,) = check(repository("docs/a.md", f"first line\n{BAD[what]}\n"))
    assert problem.startswith("docs/a.md:2: holds")


def test_the_checkouts_own_path_is_found(check, repository):
    root = repository("a.txt", "")
    assert "this checkout's path" in check(repository("a.txt", f"cd {root}/libs"))[0]


@pytest.mark.parametrize(
    "text",
    ["format sk-hr-…", "sk-test", "https://docs.example.org/a.html", "/home is a folder", "the private key", "hf_hub"],
)
def test_ordinary_words_pass(check, repository, text):
    assert check(repository("docs/a.md", text)) == []


def test_binary_files_pass(check, repository):
    root = repository("a.txt", "")
    (root / "a.bin").write_bytes(b"\xff\xfe\x00")
    assert check(root) == []
