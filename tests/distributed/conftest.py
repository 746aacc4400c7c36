"""One small cluster for all tests of this package, and a sharded corpus."""

import multiprocessing

import pytest

from transferkit.datasets import load_docstrings

# What tests have workers import, imported once, in a process that all workers are forked from.
PRELOADED = [
    "distributed",
    "pandas",
    "transferkit.distributed",
    "transferkit.heads",
    "transferkit._training.clustering.kmeans",
]


@pytest.fixture(scope="session")
def cluster():
    """Two worker processes of one thread each, which a task may kill once but not twice."""
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    can_fork = "forkserver" in multiprocessing.get_all_start_methods()
    settings = {
        "distributed.worker.multiprocessing-method": "forkserver" if can_fork else "spawn",
        "distributed.scheduler.allowed-failures": 1,
        "distributed.comm.timeouts.connect": "120s",  # machines that run tests may be busy with other things
        "distributed.comm.timeouts.tcp": "120s",
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
    }
    with dask.config.set(settings):
        distributed.utils.get_mp_context().set_forkserver_preload(PRELOADED)
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, memory_limit="1GB", dashboard_address=":0"
        ) as cluster:
            yield cluster


@pytest.fixture
def client(cluster):
    """A client of that cluster, after the workers that earlier tests killed have started again."""
    import distributed

    with distributed.Client(cluster, timeout="120s") as client:
        client.wait_for_workers(2, timeout=120)
        yield client


@pytest.fixture(scope="session")
def texts():
    return load_docstrings(["joblib", "numpy"]).data[:700]


@pytest.fixture
def shards(texts):
    return [texts[begin : begin + 64] for begin in range(0, len(texts), 64)]
