"""What is taken out, what stays, wherever it stands; and that no text is expensive."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.domain.redaction import PatternRedactor

HEX = "0123456789abcdef"
BEGIN = "-----BEGIN " + "PRIVATE KEY-----"
CLOUD = "AKIA" + "IOSFODNN7EXAMPLE"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def pem(kind, body):
    """Put together here: what looks like a key is not to stand in a file."""
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----"


def redacted(text, **options):
    return "".join(PatternRedactor(**options).redact(text))


FOUND = {
    "john.doe+x@mail.example.co.uk": "[EMAIL]",
    "jürgen@münchen.de": "[EMAIL]",
    "+49 30 1234567": "[PHONE]",
    "+1 (555) 123-4567": "[PHONE]",
    "+493012345678": "[PHONE]",
    "0049 30 1234567": "[PHONE]",
    "(030) 123-4567": "[PHONE]",
    "0171/1234567": "[PHONE]",
    "01 23 45 67 89": "[PHONE]",
    "555-123-4567": "[PHONE]",
    "(555) 123-4567": "[PHONE]",
    "1-800-555-1234": "[PHONE]",
    "4111 1111 1111 1111": "[CARD]",
    "4111-1111-1111-1111": "[CARD]",
    "5500000000000004": "[CARD]",
    "3782 822463 10005": "[CARD]",
    "6011000990139424": "[CARD]",
    "DE89 3704 0044 0532 0130 00": "[IBAN]",
    "GB82WEST12345698765432": "[IBAN]",
    "NO9386011117947": "[IBAN]",
    "MT84MALT011000012345MTLCAST001S": "[IBAN]",
    "sk-hr-" + HEX * 3: "[API_KEY]",
    "sk-proj-AbCd_efgh-ijklMNOP1234": "[API_KEY]",
    CLOUD: "[API_KEY]",
    "ghp_" + LETTERS[:36]: "[API_KEY]",
    "github_pat_" + LETTERS[:30]: "[API_KEY]",
    "xoxb" + "-123456789012-abcdefghijkl": "[API_KEY]",
    "AIza" + LETTERS[:35]: "[API_KEY]",
    "hf_" + LETTERS[:34]: "[API_KEY]",
    "glpat-" + LETTERS[:20]: "[API_KEY]",
    "sk_live_" + LETTERS[:24]: "[API_KEY]",
    "Bearer " + LETTERS[:40]: "[API_KEY]",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.c2lnbmF0dXJl": "[JWT]",
    pem("RSA PRIVATE KEY", "MIIEpAIBAAKCAQEA\nabc="): "[PRIVATE_KEY]",
    pem("PGP PRIVATE KEY BLOCK", "\nlQOYBF"): "[PRIVATE_KEY]",
    BEGIN.replace("PRIVATE", "OPENSSH PRIVATE") + "\n" + LETTERS + "\n" + LETTERS: "[PRIVATE_KEY]",
    BEGIN + "\\n" + LETTERS + "\\n" + LETTERS: "[PRIVATE_KEY]",
}
KEPT = [
    "pip install package@1.2.3, see @app.route and a @ b",
    "4111 1111 1111 1112",
    "1700000000 1700000000000 1700000000000000 1700000000000000000",
    "DE89370400440532013001",
    "XX89370400440532013000",
    "550e8400-e29b-41d4-a716-446655440000",
    "0.123456789012 3.14159265358979 2024-01-05 10:30:00 01.02.2024 12:30",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 in 1234567 lines",
    "a task-management-software with a risk-based-approach-to-everything",
    "12 34 56 78 90 12 34 56 78 90",
    "eyJ is how tokens begin; AKIA too, and sk- or ghp_",
    pem("PUBLIC KEY", "MIIBIjANBgkqhkiG"),
    "192.168.100.200:8080 and 10.0.0.1",
    "x4111111111111111y",
]


@pytest.mark.parametrize("value", FOUND)
def test_a_value_is_replaced_by_its_kind_and_nothing_around_it(value):
    assert redacted(value) == FOUND[value]
    assert redacted(f"a ({value}), b") == f"a ({FOUND[value]}), b"
    assert redacted(f'{{"a": "{value}"}}') == f'{{"a": "{FOUND[value]}"}}'


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_one_stays(text):
    assert redacted(text) == text


def test_a_secret_behind_an_escaped_line_break_is_found():
    text = r'{"env": "A=1\nsk-abcdefghijklmnop1234\nCLOUD\r\n4111111111111111\tDE89370400440532013000"}'
    text = text.replace("CLOUD", CLOUD)
    assert redacted(text) == r'{"env": "A=1\n[API_KEY]\n[API_KEY]\r\n[CARD]\t[IBAN]"}'


def test_what_stands_between_two_values_stays():
    text = "Mail a@b.de or c@d.de; call +49 30 1234567 or (030) 123-4567; 4111 1111 1111 1111 until 2031"
    assert redacted(text) == "Mail [EMAIL] or [EMAIL]; call [PHONE] or [PHONE]; [CARD] until 2031"


def test_a_private_key_that_was_cut_off_takes_nothing_but_its_own_lines_along():
    text = f"{BEGIN}\n{LETTERS}\nThis is prose. {BEGIN} is its head."
    assert redacted(text) == "[PRIVATE_KEY]\nThis is prose. [PRIVATE_KEY] is its head."


def test_addresses_are_taken_out_on_request():
    text = "from 10.0.0.1 to 192.168.100.200:80, not 1.2.3.4.5 or 300.1.1.1"
    assert redacted(text, addresses=True) == "from [IP] to [IP]:80, not 1.2.3.4.5 or 300.1.1.1"


def luhn_complete(digits):
    for last in "0123456789":
        total = 0
        for place, digit in enumerate(reversed(digits + last)):
            value = int(digit) * (1 + place % 2)
            total += value - 9 * (value > 9)
        if total % 10 == 0:
            return digits + last
    raise AssertionError


def iban(country, body):
    numeric = "".join(str(int(character, 36)) for character in body + country + "00")
    return f"{country}{98 - int(numeric) % 97:02d}{body}"


VALUES = st.one_of(
    st.from_regex(r"[a-z][a-z0-9.]{0,12}[a-z]@[a-z]{2,9}\.(com|de|org)", fullmatch=True),
    st.from_regex(r"4[0-9]{14}", fullmatch=True).map(luhn_complete),
    st.from_regex(r"[0-9]{18}", fullmatch=True).map(lambda body: iban("DE", body)),
    st.from_regex(r"\+[1-9][0-9]{9,13}", fullmatch=True),
    st.from_regex(r"sk-hr-[0-9a-f]{48}", fullmatch=True),
    st.from_regex(r"AKIA[0-9A-Z]{16}", fullmatch=True),
    st.from_regex(r"eyJ[A-Za-z0-9_-]{20,40}\.eyJ[A-Za-z0-9_-]{20,40}\.[A-Za-z0-9_-]{20,43}", fullmatch=True),
)
PROSE = st.text(alphabet="abc xyz\n.,;:!?'\"(){}[]=<>|äß€\u2028", max_size=60)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(PROSE, VALUES), min_size=1, max_size=12), PROSE, st.integers(200, 600))
def test_no_planted_value_survives_however_the_text_is_cut(planted, rest, piece):
    text = "".join(f"{prose}\n{value} " for prose, value in planted) + rest
    whole = redacted(text)
    assert redacted(text, piece_characters=piece) == whole
    for _, value in planted:
        assert value not in whole


@pytest.mark.parametrize("before", range(30, 60))
def test_a_value_at_the_edge_of_a_piece_is_found(before):
    text = "a " * (before // 2) + "john@example.com and 4111 1111 1111 1111 " + "more of it " * 9
    assert redacted(text, piece_characters=50) == redacted(text)
    assert "[EMAIL] and [CARD]" in redacted(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400), st.integers(1, 50))
def test_any_text_is_taken_and_pieces_join_to_the_whole(text, piece):
    assert "".join(PatternRedactor(piece_characters=10**9).redact(text)) == redacted(text)
    assert isinstance(redacted(text, piece_characters=piece), str)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abcdefgh XYZ\n.,;!?äß", max_size=300))
def test_text_without_values_is_not_changed(text):
    assert redacted(text) == text


SIZE = 2**18
HOSTILE = {
    word: (word * SIZE)[:SIZE]
    for word in (
        "a", "@", "a@", "a.", "a@b.", "eyJ", "eyJaaaaaaaaa.", "1", "1-", "1 ", "1.", "(", "+1", "sk-", "\\nsk-",
        BEGIN, "-----BEGIN ", "DE89", "DE89 ", "AA00 ", "Bearer ", "12345678 ", "0 ", "00 ",
        "-", "4111 1111 1111 1112 ", "x1 ", "\n", "é@",
    )
}  # fmt: skip


HOSTILE[BEGIN] *= 3  # these are read before the text is cut into pieces


@pytest.mark.parametrize("word", HOSTILE)
def test_a_hostile_text_costs_what_its_length_costs(word):
    began = time.process_time()
    redacted(HOSTILE[word])
    # A quarter of a second at most where it was written; work that grew with the square would take many minutes.
    assert time.process_time() - began < 3.0
