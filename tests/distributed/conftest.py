"""One small cluster for all tests of this room, and a corpus in shards."""

import pytest

from transferkit.datasets import load_docstrings


@pytest.fixture(scope="session")
def client():
    """A client of two worker processes of one thread each, with little memory, that give up on the second death."""
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    settings = {"distributed.scheduler.allowed-failures": 1, "distributed.worker.memory.terminate": 0.9}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, memory_limit="1GB", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def texts():
    return load_docstrings(["joblib", "scipy"]).data[:700]


@pytest.fixture
def shards(texts):
    return [texts[begin : begin + 64] for begin in range(0, len(texts), 64)]
