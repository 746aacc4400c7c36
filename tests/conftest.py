"""Fixtures that tests of several packages use."""

import subprocess
import sys
from pathlib import Path

import pytest

try:
    from hypothesis import settings
except ImportError:  # the tests of serving do not need it
    pass
else:  # machines that run tests may be busy
    settings.register_profile("without a deadline", deadline=None)
    settings.load_profile("without a deadline")

BLOCK_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch cannot be imported here")
sys.meta_path.insert(0, NoTorch())
"""


@pytest.fixture
def run_without_torch():
    """Return a function that runs code in a fresh process where torch cannot be imported, and returns its output."""

    def run(code, *args):
        command = [sys.executable, "-W", "error", "-c", BLOCK_TORCH + code, *map(str, args)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


@pytest.fixture(scope="session")
def load_docstrings_once():
    """Return a `load_docstrings` that reads each set of packages, hundreds of files, once a session."""
    from transferkit.datasets import load_docstrings

    found = {}

    def load_once(packages=None, **options):
        key = (tuple(packages or ()), tuple(sorted(options.items())))
        if key not in found:
            found[key] = load_docstrings(packages, **options)
        return found[key]

    return load_once


@pytest.fixture(scope="session")
def shared_data():
    """Return the folder of real data sets beside the checkout, or skip where there is none."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of shared benchmark data is not on this machine")
    return folder


def pytest_collection_modifyitems(items):
    """Skip tests marked gpu where torch sees no CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))
