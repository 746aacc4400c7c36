"""Spreading tasks over workers: with joblib, or on a Dask cluster."""

from contextlib import nullcontext
from typing import Any, NamedTuple

from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend
from threadpoolctl import threadpool_limits

from transferkit.distributed._tasks import Report, finish, reduce_group, report
from transferkit.exceptions import WorkerLostError

__all__ = ["DaskRunner", "JoblibRunner", "group_shards", "make_runner"]

_GROUPS_PER_WORKER = 4  # at least, so that no worker waits long for the last one


def make_runner(client, merge_every):
    """Return a runner on the client's cluster, or with joblib if there is no client."""
    if client is None:
        return JoblibRunner(merge_every)
    if not hasattr(client, "submit") or not hasattr(client, "nthreads"):
        raise TypeError(f"The client must be a distributed.Client or None. Got {type(client).__name__}.")
    return DaskRunner(client, merge_every)


class Completed(NamedTuple):
    """The next task or the result, as the runner holds it, and the report of the completed task."""

    following: Any
    report: Report


class JoblibRunner:
    """Runs on this machine, or wherever :func:`joblib.parallel_config` says."""

    def __init__(self, merge_every):
        self.merge_every = merge_every

    def run(self, task, shards, skips, n_rows):
        """Run a task over all shards, of `n_rows` rows if that is known."""
        if any(shard.futures for shard in shards):
            raise ValueError("A persisted Dask collection lives on its cluster: pass the client of that cluster.")
        n_jobs = effective_n_jobs(None)
        reduce = delayed(reduce_group if n_jobs == 1 else _reduce_group_on_one_thread)
        streams = getattr(get_active_backend()[0], "supports_return_generator", False)
        parallel = Parallel(return_as="generator" if streams else "list")
        tree = MergeTree(lambda left, right: left.merge(right, task))
        with threadpool_limits(1) if n_jobs > 1 else nullcontext():  # or workers in threads would compete with BLAS's
            groups = group_shards(shards, self.merge_every, n_jobs)
            for partial in parallel(reduce(task, group, [{}] * len(group), skips) for group in groups):
                tree.add(partial)
        partial = tree.total()
        following = finish(task, partial, n_rows)
        return Completed(following, report(partial, following))

    def fetch(self, result):
        """Return a result."""
        return result


class DaskRunner:
    """Runs on a cluster. Statistics and tasks stay there; only reports and the last result are fetched."""

    def __init__(self, client, merge_every):
        self.client, self.merge_every = client, merge_every
        self._names = {}  # key of a future -> names of its shards

    def run(self, task, shards, skips, n_rows):
        """Run a task over all shards, of `n_rows` rows if that is known."""
        if not hasattr(task, "add_done_callback"):  # not a future: send it once, and again if its worker dies
            task = self._submit(_identity, task)
        tree = MergeTree(lambda left, right: self._submit(_merge, left, right, task, priority=1))
        for group in group_shards(shards, self.merge_every, max(sum(self.client.nthreads().values()), 1)):
            # Dask must see the futures as arguments to compute them and send their values.
            futures = [shard.futures for shard in group]
            leaf = self._submit(reduce_group, task, [shard.without_futures() for shard in group], futures, skips)
            self._names[leaf.key] = [shard.name for shard in group]
            tree.add(leaf)  # merges are submitted as soon as both halves are, so that few partial results wait
        partial = tree.total()
        following = self._submit(finish, task, partial, n_rows)
        return Completed(following, self.fetch(self._submit(report, partial, following)))

    def fetch(self, result):
        """Return a result, here on the client."""
        from distributed.scheduler import KilledWorker

        try:
            return result.result()
        except KilledWorker as error:
            raise WorkerLostError(tuple(self._names.get(error.task, ()))) from error

    def _submit(self, function, *arguments, priority=0):
        return self.client.submit(function, *arguments, pure=False, priority=priority)


class MergeTree:
    """Merges results in a balanced binary tree as they arrive: of n results, about log2(n) exist at a time."""

    def __init__(self, merge):
        self._merge, self._waiting = merge, []  # (level, result), by decreasing level

    def add(self, result):
        """Add a result."""
        level = 0
        while self._waiting and self._waiting[-1][0] == level:
            result = self._merge(self._waiting.pop()[1], result)
            level += 1
        self._waiting.append((level, result))

    def total(self):
        """Return all results merged."""
        while len(self._waiting) > 1:
            (_, left), (level, right) = self._waiting[-2:]
            self._waiting[-2:] = [(level, self._merge(left, right))]
        return self._waiting[0][1]


def group_shards(shards, n_most, n_workers):
    """Cut the shards into groups of at most `n_most`, each reduced by one worker."""
    size = max(min(n_most, len(shards) // (_GROUPS_PER_WORKER * n_workers)), 1)
    return [shards[begin : begin + size] for begin in range(0, len(shards), size)]


def _reduce_group_on_one_thread(*arguments):
    """Reduce with one thread of OpenMP, whose number each thread of this process sets for itself."""
    with threadpool_limits(1, user_api="openmp"):
        return reduce_group(*arguments)


def _identity(value):
    return value


def _merge(left, right, task):
    return left.merge(right, task)
