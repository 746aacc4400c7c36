"""One small cluster for all tests of this room, and a corpus in shards."""

import pytest

from transferkit.datasets import load_docstrings


@pytest.fixture(scope="session")
def cluster():
    """Two worker processes of one thread each, which a task may kill once but not twice."""
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    settings = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.comm.timeouts.connect": "120s",  # machines that run tests may be busy with other things
        "distributed.comm.timeouts.tcp": "120s",
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
    }
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, memory_limit="2GB", dashboard_address=":0"
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def client(cluster):
    """A client of that cluster, when what earlier tests killed has started again."""
    import distributed

    with distributed.Client(cluster, timeout="120s") as client:
        client.wait_for_workers(2, timeout=120)
        yield client


@pytest.fixture(scope="session")
def texts():
    return load_docstrings(["joblib", "scipy"]).data[:700]


@pytest.fixture
def shards(texts):
    return [texts[begin : begin + 64] for begin in range(0, len(texts), 64)]
