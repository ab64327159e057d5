import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import HAVE_MODEL, Harness


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            item.add_marker(pytest.mark.timeout(300))
            # vLLM and torch warn while they are imported; that is theirs.
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            if not HAVE_MODEL:
                item.add_marker(pytest.mark.skip(reason="the bundled model is not there: run make setup"))


@pytest.fixture(scope="package")
def engine():
    harness = Harness(max_num_seqs=8, waiting_max=8)
    yield harness
    harness.close()
