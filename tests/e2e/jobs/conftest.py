"""Jobs on stacks of processes, with the bundled model's tokenizer."""

import pytest

from loadtests.common.stack import MODEL


@pytest.fixture(autouse=True)
def _model():
    if not MODEL.exists():
        pytest.skip("the bundled model is not there; `make model` fetches it")
