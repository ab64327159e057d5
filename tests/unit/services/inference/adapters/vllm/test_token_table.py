from services.inference.adapters.vllm.token_table import TokenTable, byte_of_character


class Tokenizer:
    def __init__(self, *tokens):
        self._tokens = tokens

    def get_vocab(self):
        return {token: number for number, token in enumerate(self._tokens)}

    def convert_ids_to_tokens(self, ids):
        return self._tokens[ids] if ids < len(self._tokens) else None


def test_every_byte_has_its_character():
    assert sorted(byte_of_character().values()) == list(range(256))


def test_byte_level_vocabulary():
    table = TokenTable(Tokenizer("Ġhello", "Ã", "©", "<|im_end|>", "漢"))
    assert [table.bytes_of(token) for token in range(3)] == [b" hello", b"\xc3", b"\xa9"]
    assert (table.bytes_of(1) + table.bytes_of(2)).decode() == "é"
    assert table.bytes_of(3) == b"<|im_end|>"
    assert table.bytes_of(4) == "漢".encode()
    assert table.bytes_of(99) == b""


def test_sentencepiece_vocabulary():
    table = TokenTable(Tokenizer("▁hello", "<0xC3>", "é"))
    assert [table.bytes_of(token) for token in range(3)] == [b" hello", b"\xc3", "é".encode()]
