from __future__ import annotations

import pytest

from libs.chat_template import ChatTemplate
from services.inference.adapters.model_files import PART_BYTES, ModelFiles, prefix_stability
from services.inference.domain.model import PrefixStability
from tests.unit.services.inference.world import TEMPLATE, write_model


def loaded(path, **options):
    return ModelFiles.load(write_model(path), **options)


def test_the_same_files_have_the_same_digests_and_any_change_another(tmp_path):
    one, two = loaded(tmp_path / "a"), loaded(tmp_path / "b")
    assert (one.model_digest, one.tokenizer_digest) == (two.model_digest, two.tokenizer_digest)
    (tmp_path / "b" / "model.safetensors").write_bytes(b"WEIGHTS")
    other = ModelFiles.load(tmp_path / "b")
    assert other.tokenizer_digest == one.tokenizer_digest
    assert other.model_digest != one.model_digest
    (tmp_path / "a" / "chat_template.jinja").write_text(TEMPLATE + " ")
    assert ModelFiles.load(tmp_path / "a").tokenizer_digest != one.tokenizer_digest
    assert loaded(tmp_path / "c", adapters=("lora",)).model_digest != one.model_digest


@pytest.mark.parametrize("at", [0, 3 << 19, -1])
def test_every_byte_of_the_weights_counts(tmp_path, at):
    big = bytearray(3 << 20)
    path = write_model(tmp_path)
    (path / "model.safetensors").write_bytes(big)
    one = ModelFiles.load(path).model_digest
    big[at] = 1
    (path / "model.safetensors").write_bytes(big)
    assert ModelFiles.load(path).model_digest != one


def test_the_window_is_the_models_unless_set(tmp_path):
    assert loaded(tmp_path).window_tokens == 512
    assert loaded(tmp_path, window_tokens=100).window_tokens == 100


def test_a_directory_that_is_none_or_lacks_something_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="headrace up"):
        ModelFiles.load(tmp_path / "nowhere")
    path = write_model(tmp_path / "x")
    (path / "config.json").unlink()
    with pytest.raises(ValueError, match="window_tokens"):
        ModelFiles.load(path)
    (path / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        ModelFiles.load(path)


def test_parts_are_bounded_and_whole(tmp_path):
    path = write_model(tmp_path)
    (path / "generation_config.json").write_bytes(b"")
    parts = list(ModelFiles.load(path).parts())
    assert all(len(part) <= PART_BYTES for _, part, _ in parts)
    assert ("generation_config.json", b"", 0) in parts


STABILITIES = [
    (TEMPLATE, PrefixStability.FULL),
    (TEMPLATE.replace("{{ m['content'] }}", "{{ m['content'] | upper }}"), PrefixStability.INPUT),
    (TEMPLATE.replace("m['content'] }}", "m['content'].split('</think>')[-1] }}"), PrefixStability.INPUT),
    ("{{ messages | length }}" + TEMPLATE, PrefixStability.NONE),
]


@pytest.mark.parametrize(("template", "stability"), STABILITIES)
def test_prefix_stability_is_found_by_rendering(tmp_path, template, stability):
    files = loaded(tmp_path)
    probed = ChatTemplate.load({**files.files, "chat_template.jinja": template.encode()})
    assert prefix_stability(probed, files.encoder, files.tokenizer) is stability
