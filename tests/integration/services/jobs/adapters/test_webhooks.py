"""Webhooks over real sockets: what is sent, and what is never connected to."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket

import pytest

from libs.testing.clock import FakeClock
from libs.testing.loop import run_real
from services.jobs.adapters.webhooks import Webhooks
from services.jobs.webhook_settings import WebhookSettings
from tests.integration.services.jobs.adapters.receiver import Receiver, certificate, redirect

SECRET = "the secret of a receiver"
BODY = b'{"type":"job.finished"}'
LOOPBACK = WebhookSettings(http_allowed=True, networks_allowed=("127.0.0.0/8",), timeout_seconds=5.0)


def names(table):
    """A resolver with these addresses, which counts who is asked for."""
    asked = []

    async def resolve(host):
        asked.append(host)
        found = table.get(host, [host])
        return found(len(asked)) if callable(found) else found

    resolve.asked = asked
    return resolve


async def deliver(url, settings=LOOPBACK, resolve=None, times=1):
    hooks = Webhooks(settings, FakeClock(), resolve)
    try:
        statuses = [await hooks.deliver(url, SECRET, BODY, delivery="job_1-7") for _ in range(times)]
    finally:
        await hooks.close()
    return statuses if times > 1 else statuses[0]


def test_the_body_arrives_signed_and_whoever_has_the_secret_can_tell():
    async def scenario():
        async with Receiver().running() as receiver:
            status = await deliver(f"http://127.0.0.1:{receiver.port}/hook/a?b=c%20d")
            return status, receiver.port, receiver.received

    status, port, received = run_real(scenario())
    assert status == 204
    [(line, headers, body)] = received
    assert (line, headers["host"], body) == ("POST /hook/a?b=c%20d HTTP/1.1", f"127.0.0.1:{port}", BODY)
    assert (headers["content-type"], headers["webhook-id"]) == ("application/json", "job_1-7")
    assert headers["webhook-timestamp"] == "1700000000"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"


@pytest.mark.parametrize("status", [200, 404, 410, 500])
def test_the_status_is_told_as_it_is(status):
    async def scenario():
        async with Receiver(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok".encode()).running() as receiver:
            return await deliver(f"http://127.0.0.1:{receiver.port}/")

    assert run_real(scenario()) == status


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "017700000001",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "10.0.0.1",
        "100.64.0.1",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "224.0.0.1",
    ],
)
def test_no_form_of_a_private_address_is_connected_to(host, monkeypatch):
    async def scenario():
        connected = []
        connect = asyncio.get_running_loop().sock_connect

        async def watched(sock, address):
            connected.append(address)
            await connect(sock, address)

        asyncio.get_running_loop().sock_connect = watched
        async with Receiver().running() as receiver:
            status = await deliver(f"http://{host}:{receiver.port}/", WebhookSettings(http_allowed=True))
            return status, receiver.connections, connected

    assert run_real(scenario()) == (0, 0, [])


@pytest.mark.parametrize("order", [["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["2606:4700::1111", "::1"]])
def test_a_name_with_one_private_address_is_not_called_at_all(order):
    async def scenario():
        async with Receiver().running() as receiver:
            status = await deliver(
                f"http://mixed.example:{receiver.port}/",
                WebhookSettings(http_allowed=True),
                names({"mixed.example": order}),
            )
            return status, receiver.connections

    assert run_real(scenario()) == (0, 0)


def test_a_name_that_changes_its_address_after_the_check_is_not_followed(monkeypatch):
    """The resolver says an allowed address first and a private one ever after; the system's knows the private one."""

    async def scenario():
        async with Receiver().running("127.0.0.2") as good, Receiver().running() as bad:
            settings = WebhookSettings(http_allowed=True, networks_allowed=("127.0.0.2/32",))
            resolve = names({"rebound.example": lambda asked: ["127.0.0.2"] if asked == 1 else ["127.0.0.1"]})
            real = socket.getaddrinfo

            def system(host, *args, **kwargs):
                return real("127.0.0.1" if host == "rebound.example" else host, *args, **kwargs)

            monkeypatch.setattr(socket, "getaddrinfo", system)
            first, second = await deliver(f"http://rebound.example:{good.port}/", settings, resolve, times=2)
            return first, second, good.connections, bad.connections, good.received[0][1]["host"], good.port

    first, second, good, bad, host, port = run_real(scenario())
    assert (first, second, good, bad) == (204, 0, 1, 0)
    assert host == f"rebound.example:{port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status):
    async def scenario():
        async with Receiver().running() as private, Receiver().running() as receiver:
            receiver.reply = redirect(f"http://127.0.0.1:{private.port}/", status)
            return await deliver(f"http://127.0.0.1:{receiver.port}/"), private.connections

    assert run_real(scenario()) == (status, 0)


def test_no_cookie_is_kept_and_no_connection_is_used_for_another_call():
    async def scenario():
        async with Receiver(redirect("/")).running() as receiver:
            await deliver(f"http://127.0.0.1:{receiver.port}/", times=2)
            return receiver.connections, ["cookie" in headers for _, headers, _ in receiver.received]

    assert run_real(scenario()) == (2, [False, False])


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"])
def test_proxies_of_the_environment_are_not_asked(name, monkeypatch):
    async def scenario():
        async with Receiver().running() as proxy, Receiver().running() as receiver:
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            return await deliver(f"http://127.0.0.1:{receiver.port}/"), proxy.connections

    assert run_real(scenario()) == (204, 0)


def test_plain_http_is_called_only_where_the_operator_allows_it():
    async def scenario():
        async with Receiver().running() as receiver:
            settings = LOOPBACK.model_copy(update={"http_allowed": False})
            return await deliver(f"http://127.0.0.1:{receiver.port}/", settings), receiver.connections

    assert run_real(scenario()) == (0, 0)


def test_a_receiver_that_hangs_is_left_after_its_time():
    async def scenario():
        async with Receiver(hang=True).running() as receiver:
            settings = LOOPBACK.model_copy(update={"timeout_seconds": 0.2})
            return await deliver(f"http://127.0.0.1:{receiver.port}/", settings), len(receiver.received)

    assert run_real(scenario()) == (0, 1)


def test_a_receiver_that_drips_its_head_is_left_after_its_time():
    async def scenario():
        async def drip(_reader, writer):
            try:
                while not writer.is_closing():
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    await writer.drain()
                    await asyncio.sleep(0)
            except ConnectionError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        try:
            settings = LOOPBACK.model_copy(update={"timeout_seconds": 0.3})
            async with asyncio.timeout(4):
                return await deliver(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", settings)
        finally:
            server.close()
            await server.wait_closed()

    assert run_real(scenario()) == 0


def test_of_an_endless_reply_nothing_but_the_status_is_read():
    async def scenario():
        sent = 0

        async def endless(reader, writer):
            nonlocal sent
            try:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                while not writer.is_closing():
                    writer.write(b"x" * 65_536)
                    await writer.drain()
                    sent += 65_536
            except ConnectionError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(endless, "127.0.0.1", 0)
        try:
            return await deliver(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"), sent
        finally:
            server.close()
            await server.wait_closed()

    status, sent = run_real(scenario())
    assert status == 200
    assert sent < 32 * 2**20


@pytest.mark.parametrize("reply", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000 + b"\r\n"])
def test_what_is_no_reply_is_no_delivery(reply):
    async def scenario():
        async with Receiver(reply).running() as receiver:
            return await deliver(f"http://127.0.0.1:{receiver.port}/")

    assert run_real(scenario()) == 0


def test_nobody_there_and_an_unknown_name_are_no_delivery():
    async def unknown(_host):
        raise socket.gaierror(-2, "Name or service not known")

    async def nothing(_host):
        return []

    async def scenario():
        async with Receiver().running() as receiver:
            port = receiver.port
        return [
            await deliver(f"http://127.0.0.1:{port}/"),
            await deliver("http://nowhere.example/", resolve=unknown),
            await deliver("http://nowhere.example/", resolve=nothing),
            await deliver(f"http://{'a' * 70}.example/"),
            await deliver("no url at all"),
        ]

    assert run_real(scenario()) == [0, 0, 0, 0, 0]


def test_an_address_that_does_not_answer_is_passed_by_for_the_next_one():
    async def scenario():
        async with Receiver().running("127.0.0.3") as receiver:
            url = f"http://two.example:{receiver.port}/"
            return await deliver(url, resolve=names({"two.example": ["127.0.0.4", "127.0.0.3"]}))

    assert run_real(scenario()) == 204


def test_tls_asks_for_the_name_and_checks_it(tmp_path):
    async def scenario():
        context, trusted = certificate(tmp_path, "good.example", "127.0.0.1")
        asked = []
        context.sni_callback = lambda _sock, name, _context: asked.append(name)
        settings = LOOPBACK.model_copy(update={"ca_file": trusted, "http_allowed": False})
        resolve = names({"good.example": ["127.0.0.1"], "bad.example": ["127.0.0.1"]})
        async with Receiver().running(tls=context) as receiver:
            statuses = [
                await deliver(f"https://{host}:{receiver.port}/", settings, resolve)
                for host in ("good.example", "bad.example", "127.0.0.1")
            ]
            untrusted = await deliver(f"https://good.example:{receiver.port}/", LOOPBACK, resolve)
        return statuses, untrusted, asked[:2], [headers["host"].split(":")[0] for _, headers, _ in receiver.received]

    statuses, untrusted, asked, hosts = run_real(scenario())
    assert (statuses, untrusted) == ([204, 0, 204], 0)
    assert asked == ["good.example", "bad.example"]
    assert hosts == ["good.example", "127.0.0.1"]


def test_neither_the_url_nor_the_secret_are_logged(capsys):
    async def scenario():
        await deliver("http://10.0.0.1/path-with-token?key=value")
        await deliver("http://user:hidden@127.0.0.1/")

    run_real(scenario())
    logged = "".join(capsys.readouterr())
    assert "job_1-7" in logged
    assert not any(each in logged for each in ("token", "value", "hidden", SECRET))
