from pathlib import Path

import pytest

from libs.settings import ServiceSettings, SettingsError, read_secret_file


@pytest.fixture
def secret(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "internal.token"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def test_the_text_is_stripped(secret):
    assert read_secret_file(secret("abc\n"), fix="") == "abc"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_file_open_to_everyone_is_refused(secret, mode):
    with pytest.raises(SettingsError, match="chmod 600"):
        read_secret_file(secret("abc", mode), fix="")


def test_missing_and_empty_files_say_the_fix(secret):
    with pytest.raises(SettingsError, match="run this"):
        read_secret_file(Path("/nowhere"), fix="run this")
    with pytest.raises(SettingsError, match="is empty; run this"):
        read_secret_file(secret(" \n"), fix="run this")


def test_the_token_is_found_in_the_state_directory(secret):
    path = secret("abc")
    assert ServiceSettings(state_dir=path.parent).internal_token() == "abc"
    assert ServiceSettings(internal_token_file=path).internal_token() == "abc"
