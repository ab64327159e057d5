"""The one supervisor of a state directory."""

import stat

import pytest

from cli.errors import CliError
from cli.install import make_directories
from cli.layout import Layout
from cli.platform import claimed


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_tells_of_calls_is_for_its_owner_alone_from_the_first_start(tmp_path):
    layout = Layout(tmp_path / "somewhere" / "state")
    with claimed(layout):
        assert [mode(path) for path in (layout.root, layout.run, layout.logs)] == [0o700] * 3


def test_a_state_directory_that_is_there_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o750)
    with claimed(Layout(tmp_path)):
        assert mode(tmp_path) == 0o750


def test_there_is_one_at_a_time(tmp_path):
    layout = Layout(tmp_path)
    with claimed(layout), pytest.raises(CliError), claimed(layout):
        pass


def test_a_state_directory_that_cannot_be_made_is_said_with_a_way_on(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CliError) as caught:
        make_directories(Layout(tmp_path / "file" / "state"))
    assert "--state-dir" in caught.value.fix
