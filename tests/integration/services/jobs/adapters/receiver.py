"""A webhook's receiver: a real server on loopback that says what a test tells it to."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from contextlib import asynccontextmanager

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Receiver:
    """`received`: (request line, headers by name in lower case, body) of every request."""

    def __init__(self, reply=b"HTTP/1.1 204 No Content\r\n\r\n", *, hang=False):
        self.reply, self.hang = reply, hang
        self.received, self.connections, self.port = [], 0, 0
        self._gone = asyncio.Event()

    @asynccontextmanager
    async def running(self, host="127.0.0.1", *, tls=None):
        server = await asyncio.start_server(self._serve, host, 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._gone.set()
            server.close()
            await server.wait_closed()

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            # As long as the client keeps the connection.
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        cased = dict(line.split(": ", 1) for line in head[1:] if line)
        headers = {name.lower(): value for name, value in cased.items()}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.received.append((head[0], headers, body))
        if self.hang:
            await self._gone.wait()
            return False
        writer.write(self.reply)
        await writer.drain()
        return b"HTTP/1.1 " in self.reply and b"Content-Length: 0" in self.reply


def redirect(to, status=302):
    return f"HTTP/1.1 {status} Found\r\nLocation: {to}\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\n\r\n".encode()


def certificate(folder, *names):
    """A server's TLS context, and the file that its clients must trust: a certificate made for these names."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    begins = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + dt.timedelta(days=365 * 100))
        .add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "receiver.pem"
    trusted = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + trusted)
    (folder / "trusted.pem").write_bytes(trusted)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, folder / "trusted.pem"


def _name(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
