from hypothesis import given
from hypothesis import strategies as st
from kafka.record import default_records
from kafka.record._crc32c import crc

from libs.kafka import KafkaSettings
from libs.kafka.checksum import checksum
from libs.kafka.client import client_config


def test_it_is_the_checksum_of_the_rfc():
    """RFC 3720, B.4."""
    assert checksum(memoryview(bytes(32))) == 0x8A9136AA
    assert checksum(memoryview(b"\xff" * 32)) == 0x62A8AB43
    assert checksum(memoryview(bytes(range(32)))) == 0x46DD794E


@given(st.binary(max_size=2000), st.integers(0, 50))
def test_it_is_what_the_client_itself_would_compute(data, start):
    view = memoryview(bytearray(data))[start:]
    assert checksum(view) == crc(view)


def test_every_client_reads_and_writes_with_it():
    client_config(KafkaSettings(brokers=("127.0.0.1:1",)))
    assert default_records.calc_crc32c is checksum
