import pytest
from pydantic import ValidationError

from libs.kafka import KafkaSettings
from libs.kafka.client import client_config
from libs.settings import SettingsError

SASL = {"brokers": ("k:9093",), "protocol": "SASL_SSL", "sasl_username": "headrace"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"durable": True}, "brokers is empty"),
        ({"protocol": "SASL_SSL"}, "sasl_username"),
        ({"protocol": "SASL_SSL", "sasl_username": "u"}, "sasl_password_file"),
        (
            {"protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "u", "sasl_password_file": "/p"},
            "in the clear",
        ),
        ({"certificate_file": "/c"}, "belong together"),
        ({"password": "x"}, "Extra inputs"),
    ],
)
def test_half_a_configuration_is_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        KafkaSettings.model_validate(given)


def test_the_password_comes_from_its_file_and_nowhere_else(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    secret.chmod(0o600)
    settings = KafkaSettings.model_validate({**SASL, "sasl_password_file": secret})
    config = client_config(settings)
    assert (config["sasl_plain_password"], config["sasl_mechanism"]) == ("hunter2", "SCRAM-SHA-512")
    assert config["security_protocol"] == "SASL_SSL"
    assert "hunter2" not in repr(settings)


def test_a_password_that_everybody_can_read_is_refused(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("hunter2")
    secret.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        client_config(KafkaSettings.model_validate({**SASL, "sasl_password_file": secret}))


def test_certificates_are_handed_on():
    settings = KafkaSettings.model_validate(
        {"brokers": ("k:9093",), "protocol": "SSL", "ca_file": "/ca", "certificate_file": "/c", "key_file": "/k"}
    )
    config = client_config(settings)
    assert (config["ssl_cafile"], config["ssl_certfile"], config["ssl_keyfile"]) == ("/ca", "/c", "/k")
    assert "sasl_mechanism" not in config
