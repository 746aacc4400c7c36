"""Fixtures that more than one room's tests use."""

from pathlib import Path

import pytest


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
