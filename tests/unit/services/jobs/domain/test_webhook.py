"""What webhooks tell, sign and never call."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json

import pytest

from services.gateway.wire.job_documents import job_document
from services.jobs.convert import job_message
from services.jobs.domain.job import Batch, Caller, Job, JobError, JobState, Usage, Webhook
from services.jobs.domain.webhook import AddressRules, Next, Target, after, body_of, delivery_id, signature, target_of

JOB = Job(
    "job_1",
    Caller("acme", "key-1", "ann"),
    JobState.FAILED,
    created_ms=1_700_000_000_123,
    expires_ms=1_700_000_100_000,
    fingerprint="f",
    total=3,
    succeeded=2,
    failed=1,
    attempts=1,
    started_ms=1_700_000_001_000,
    ended_ms=1_700_000_002_000,
    usage=Usage(10, 4, 5, 1_500_000_000),
    metadata={"run": "7"},
    webhook=Webhook("https://example.com/", "secret of sixteen"),
)


def test_a_job_is_told_of_as_the_gateway_tells_of_it():
    told = json.loads(body_of(JOB, 1_700_000_003.9))
    assert (told["type"], told["timestamp"]) == ("job.finished", "2023-11-14T22:13:23Z")
    document = json.loads(json.dumps(job_document(job_message(JOB))))
    assert told["data"] == {name: document[name] for name in told["data"]}
    assert told["data"]["cost_usd"] == "1.5"


def test_a_batch_is_told_of_with_its_files_and_its_error():
    batch = Job(
        "batch_1",
        JOB.caller,
        JobState.FAILED,
        created_ms=1,
        expires_ms=2,
        fingerprint="",
        batch=Batch("file-1", "/v1/chat/completions", "file-2", ""),
        error=JobError("INVALID_REQUEST", "Line 3: no.", 3),
    )
    told = json.loads(body_of(batch, 0.0))["data"]
    assert told["batch"] == {"input_file_id": "file-1", "output_file_id": "file-2", "error_file_id": None}
    assert told["error"] == {"reason": "INVALID_REQUEST", "message": "Line 3: no.", "line": 3}


def test_neither_secret_nor_address_are_told():
    assert b"sixteen" not in body_of(JOB, 0.0)
    assert b"example.com" not in body_of(JOB, 0.0)


def test_the_signature_is_that_of_standard_webhooks():
    # The example of the specification's libraries.
    secret, delivery = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    found = signature(secret, delivery, 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["plain text of any form", "whsec_no base64!", "whsec_abc", "whsec_schlüssel"])
def test_any_other_secret_is_the_key_as_it_stands(secret):
    wanted = hmac.new(secret.encode(), b"d.7." + b"{}", hashlib.sha256).digest()
    assert signature(secret, "d", 7, b"{}") == "v1," + base64.b64encode(wanted).decode()


def test_each_end_of_a_job_has_an_id_of_its_own():
    assert delivery_id(JOB) == "job_1-1700000002000"


PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.8.9.10",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.9",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::8.8.8.8",
    "::ffff:8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:0:8.8.8.8",
    "64:ff9b::808:808",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%1",
    "2606:4700::1111%1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_no_address_is_called_that_is_not_of_the_internet(address):
    assert not AddressRules().permits(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"])
def test_addresses_of_the_internet_are_called(address):
    assert AddressRules().permits(ipaddress.ip_address(address))


def test_the_operator_may_allow_and_refuse_networks():
    rules = AddressRules(
        allowed=tuple(map(ipaddress.ip_network, ["127.0.0.0/8", "fd00::/8"])),
        refused=tuple(map(ipaddress.ip_network, ["8.8.8.0/24", "127.0.0.9/32"])),
    )
    addresses = ["127.0.0.1", "127.0.0.9", "fd00::1", "8.8.8.8", "8.8.4.4", "10.0.0.1", "::ffff:127.0.0.1", "::1"]
    assert [rules.permits(ipaddress.ip_address(each)) for each in addresses] == [
        True,
        False,
        True,
        False,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("https://Example.com", Target("https", "example.com", 443, "/"), "example.com"),
        ("https://example.com:8443/a?b=c%20d", Target("https", "example.com", 8443, "/a?b=c%20d"), "example.com:8443"),
        ("https://[2606:4700::1111]/x", Target("https", "2606:4700::1111", 443, "/x"), "[2606:4700::1111]"),
        ("http://1.1.1.1:443/", Target("http", "1.1.1.1", 443, "/"), "1.1.1.1:443"),
    ],
)
def test_a_url_leads_to_a_host_a_port_and_a_path(url, target, authority):
    found = target_of(url, http_allowed=True)
    assert (found, found.authority) == (target, authority)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "//example.com/",
        "https:///x",
        "https://",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://:pass@example.com/",
        "https://example.com:99999/",
        "https://example.com/\r\nX: y",
        "https://example.com/a b",
        "https://ex\u00e4mple.com/",
        "https://[::1",
        "",
    ],
)
def test_what_is_no_https_url_of_a_host_is_not_called(url):
    with pytest.raises(ValueError, match=r".") as caught:
        target_of(url, http_allowed=False)
    assert "example" not in str(caught.value)


def test_attempts_are_spread_over_a_day_and_end():
    pauses = (10.0, 60.0)
    assert [after(500, attempts, pauses) for attempts in (1, 2, 3)] == [
        Next("pending", 10.0),
        Next("pending", 60.0),
        Next("failed"),
    ]
    assert after(0, 1, ()) == Next("failed")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (299, "delivered"),
        (301, "pending"),
        (302, "pending"),
        (404, "pending"),
        (410, "failed"),
        (429, "pending"),
        (500, "pending"),
        (0, "pending"),
    ],
)
def test_only_success_is_delivery_and_only_gone_ends_it_at_once(status, state):
    assert after(status, 1, (10.0,)).state == state
