"""What every kafka-python client here is made with, and how its errors become ours."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import kafka.errors as theirs
from kafka.net.compat import KafkaNetClient

from libs.kafka.checksum import use_fast_checksums
from libs.kafka.errors import (
    BrokerRefusedError,
    BrokerUnavailableError,
    KafkaError,
    RecordRefusedError,
    TopicUnknownError,
)
from libs.kafka.header_names import read_any_names
from libs.kafka.settings import KafkaSettings
from libs.settings import SettingsError, read_secret_file

C = TypeVar("C")

_RECORD = (
    theirs.MessageSizeTooLargeError,
    theirs.RecordListTooLargeError,
    theirs.InvalidTimestampError,
    theirs.PolicyViolationError,
)
_ACCESS = (
    theirs.AuthorizationError,
    theirs.SaslAuthenticationFailedError,
    theirs.UnsupportedSaslMechanismError,
    theirs.IllegalSaslStateError,
    ssl.SSLError,
)
_TOPIC = (theirs.UnknownTopicOrPartitionError, theirs.InvalidTopicError)


def client_config(settings: KafkaSettings) -> dict[str, Any]:
    """Options that producer, consumer and admin client share.

    Raises SettingsError for a password file that cannot be read.
    """
    # The client warns of each failed reconnect, and names keys and values at debug level. Whoever uses it says what is
    # wrong once, when it becomes so.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    read_any_names()
    use_fast_checksums()
    config: dict[str, Any] = {
        "bootstrap_servers": list(settings.brokers),
        "client_id": settings.client_id,
        "bootstrap_timeout_ms": settings.connect_timeout_ms,
        "request_timeout_ms": max(settings.send_timeout_ms // 2, 100),
        "reconnect_backoff_max_ms": 1_000,
        "security_protocol": settings.protocol,
    }
    for option, path in (
        ("ssl_cafile", settings.ca_file),
        ("ssl_certfile", settings.certificate_file),
        ("ssl_keyfile", settings.key_file),
    ):
        if path is not None:
            config[option] = str(path)
    if settings.uses_sasl and settings.sasl_password_file is not None:
        config["sasl_mechanism"] = settings.sasl_mechanism
        config["sasl_plain_username"] = settings.sasl_username
        config["sasl_plain_password"] = read_secret_file(
            settings.sasl_password_file, fix="put the Kafka user's password into it"
        )
    return config


def open_client(kind: Callable[..., C], **config: Any) -> C:
    """Makes a client of that kind. When its construction fails, its thread and sockets are closed.

    kafka-python leaves them behind: one thread and four descriptors for every try against an absent broker.
    """
    made: list[KafkaNetClient] = []

    def network(**options: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**options))
        return made[-1]

    try:
        return kind(**config, kafka_client=network)
    except BaseException:
        for client in made:
            with suppress(Exception):  # half made: whatever can be closed is
                client.close()
        raise


@contextmanager
def translated(settings: KafkaSettings, doing: str) -> Iterator[None]:
    """Raises kafka-python's and the socket's errors as ours. `doing` completes "Kafka did not …"."""
    try:
        yield
    except (theirs.KafkaError, OSError, AssertionError) as error:
        raise as_ours(error, settings, doing) from error
    except SettingsError as error:  # the password's file; a service outlives it as it outlives a wrong password
        raise BrokerRefusedError(f"Kafka was not asked to {doing}: {error}") from error


def as_ours(error: BaseException, settings: KafkaSettings, doing: str) -> KafkaError:
    """Our error for one of kafka-python's, sorted by what the caller can do."""
    said = f"Kafka at {', '.join(settings.brokers)} did not {doing}: {type(error).__name__}"
    if isinstance(error, _RECORD):
        return RecordRefusedError(
            f"{said}. The record is larger than the topic takes, or its policy forbids it: compare "
            f"kafka.record_bytes_max ({settings.record_bytes_max}) with the topic's max.message.bytes."
        )
    if isinstance(error, _ACCESS):
        return BrokerRefusedError(f"{said}. Check kafka.protocol, the login and the ACLs of this client.")
    if isinstance(error, _TOPIC):
        return TopicUnknownError(f"{said}. Create the topic, or set kafka.create_topics.")
    return BrokerUnavailableError(
        f"{said}. Check that the brokers run and can be reached from here; it is tried again."
    )
