from itertools import islice

from structlog.testing import capture_logs

from libs.kafka.consumer.outage import Outage, pauses


def test_it_is_told_once_when_it_goes_and_once_when_it_is_back():
    outage = Outage("Kafka is", group="g")
    with capture_logs() as lines:
        outage.worked()
        for _ in range(3):
            outage.failed(ValueError("refused"))
            assert outage.on
        outage.worked()
        outage.worked()
        assert not outage.on
        outage.failed(ValueError("again"))
    told = [(line["event"], line.get("why"), line.get("failures")) for line in lines]
    assert told == [
        ("Kafka is away", "refused", None),
        ("Kafka is back", None, 3),
        ("Kafka is away", "again", None),
    ]
    assert {line["group"] for line in lines} == {"g"}


def test_pauses_double_up_to_the_most():
    assert list(islice(pauses(0.25, 1.5), 5)) == [0.25, 0.5, 1.0, 1.5, 1.5]
