import os
import socket

import pytest

from cli.errors import CliError
from cli.supervisor.ports import holder, is_free, require_free


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_listened_on_is_not_free(taken):
    assert not is_free(taken)


def test_a_port_is_free_again_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()
    assert is_free(port)


def test_the_holder_is_named_with_its_command(taken):
    assert f"process {os.getpid()} (" in holder(taken)


def test_every_port_in_use_is_named_with_the_way_out(taken):
    with pytest.raises(CliError) as caught:
        require_free({"REST": (taken, "--rest-port"), "router": (taken, "`ports` in headrace.yaml")})
    assert str(caught.value).count(f"port {taken}") == 2
    assert "--rest-port" in caught.value.fix
    assert "headrace.yaml" in caught.value.fix
