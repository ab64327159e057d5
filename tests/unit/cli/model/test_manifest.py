import pytest

from cli.model.manifest import NAME, fault, seal

SOURCE, RECIPE = "ab" * 32, 1


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights" * 1000)
    (tmp_path / "config.json").write_text("{}")
    seal(tmp_path, SOURCE, RECIPE)
    return tmp_path


def test_a_sealed_model_is_whole(model):
    assert fault(model, SOURCE, RECIPE) == ""


def test_one_changed_byte_is_found(model):
    with (model / "model.safetensors").open("r+b") as file:
        file.seek(3)
        file.write(b"X")
    assert fault(model, SOURCE, RECIPE) == "the checksum of model.safetensors is wrong"


def test_a_file_that_was_cut_off_or_lost_is_found(model):
    (model / "config.json").unlink()
    assert fault(model, SOURCE, RECIPE) == "config.json is missing"


def test_a_conversion_that_did_not_finish_is_found(model):
    (model / NAME).unlink()
    assert "did not finish" in fault(model, SOURCE, RECIPE)


def test_another_source_or_recipe_is_found(model):
    assert fault(model, "cd" * 32, RECIPE)
    assert fault(model, SOURCE, RECIPE + 1)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"source_sha256": 1}'])
def test_a_manifest_of_another_shape_is_a_fault(model, text):
    (model / NAME).write_text(text)
    assert "cannot be read" in fault(model, SOURCE, RECIPE)


def test_a_model_without_weights_is_a_fault(tmp_path):
    seal(tmp_path, SOURCE, RECIPE)
    assert fault(tmp_path, SOURCE, RECIPE) == "it holds no weights"
    assert fault(tmp_path / "none", SOURCE, RECIPE) == "it is not there"
