import logging
import ssl

import kafka.errors as theirs
import pytest

from libs.kafka import (
    BrokerRefusedError,
    BrokerUnavailableError,
    KafkaSettings,
    RecordRefusedError,
    TopicUnknownError,
)
from libs.kafka.client import client_config, open_client, translated
from libs.settings import SettingsError

SETTINGS = KafkaSettings(brokers=("k1:9092", "k2:9092"))


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (theirs.KafkaTimeoutError("late"), BrokerUnavailableError),
        (theirs.NotLeaderForPartitionError(), BrokerUnavailableError),
        (ConnectionRefusedError(), BrokerUnavailableError),
        (theirs.MessageSizeTooLargeError(), RecordRefusedError),
        (theirs.PolicyViolationError(), RecordRefusedError),
        (theirs.UnknownTopicOrPartitionError(), TopicUnknownError),
        (theirs.TopicAuthorizationFailedError(), BrokerRefusedError),
        (theirs.SaslAuthenticationFailedError(), BrokerRefusedError),
        (ssl.SSLCertVerificationError(), BrokerRefusedError),
        (SettingsError(["/p: cannot be read"]), BrokerRefusedError),
    ],
)
def test_every_error_says_what_can_be_done(error, ours):
    with pytest.raises(ours) as caught, translated(SETTINGS, "acknowledge a batch"):
        raise error
    assert "acknowledge a batch" in str(caught.value)
    assert len(str(caught.value)) > 60


def test_a_record_is_in_no_error():
    with pytest.raises(BrokerUnavailableError) as caught, translated(SETTINGS, "acknowledge a batch"):
        raise theirs.KafkaError("could not send key=sk-hr-canary")
    assert "canary" not in str(caught.value)


def test_a_defect_of_ours_keeps_its_name():
    with pytest.raises(KeyError), translated(SETTINGS, "x"):
        raise KeyError("x")


def test_the_clients_own_log_names_no_record(caplog):
    client_config(SETTINGS)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("kafka.producer.kafka").debug("Sending (key=%r value=%r)", b"k", b"canary")
        logging.getLogger("kafka.net.manager").error("Connection failed")
    assert caplog.records == []


def test_what_a_failed_construction_opened_is_closed():
    closed = []

    class Broken:
        def __init__(self, kafka_client, **config):
            self.client = kafka_client(bootstrap_servers="127.0.0.1:1", client_id="t")
            net = self.client._net
            net.start()
            was = net.close
            net.close = lambda: (closed.append(net), was())
            raise theirs.KafkaTimeoutError("nobody there")

    with pytest.raises(theirs.KafkaTimeoutError):
        open_client(Broken)
    assert len(closed) == 1
    assert closed[0]._io_thread is None
