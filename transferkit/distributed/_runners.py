"""Mapping over shards and joining the results: with joblib, or on a Dask cluster."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend
from threadpoolctl import threadpool_limits

from transferkit.distributed._shards import n_rows_of
from transferkit.exceptions import ShardError, WorkerLostError

_GROUPS_PER_WORKER = 4  # at least, so that no worker waits long for the last one


class Step(NamedTuple):
    """What is done with each shard, and with the results of two.

    `learn(data, shard, *context)` returns statistics; `merge(a, b)` returns their sum as a new object, because a
    cluster may ask for it twice. `add(statistics, data, shard, *context)` returns both, where that is cheaper than a
    merge; it may change the statistics, unless it fails.
    """

    learn: Callable
    merge: Callable
    skips: bool = False  # leave out, and report, shards that cannot be read or learned
    find: Callable | None = None  # `find(shard, *context)` returns statistics that need no reading, or None
    add: Callable | None = None


class Partial(NamedTuple):
    """Statistics of some shards."""

    statistics: Any = None
    n_documents: int = 0
    n_shards: int = 0
    skipped: tuple = ()  # (name, reason) of each

    def join(self, other, merge):
        """Return the statistics of the shards of both."""
        known = [part.statistics for part in (self, other) if part.statistics is not None]
        return Partial(
            merge(*known) if len(known) == 2 else (known or [None])[0],
            self.n_documents + other.n_documents,
            self.n_shards + other.n_shards,
            self.skipped + other.skipped,
        )


class JoblibRunner:
    """Runs on this machine, or wherever :func:`joblib.parallel_config` says."""

    def __init__(self, merge_every):
        self.merge_every = merge_every

    def reduce(self, step, shards, *context):
        """Return the joined statistics of all shards."""
        if any(shard.futures for shard in shards):
            raise ValueError("A persisted Dask collection lives on its cluster: pass the client of that cluster.")
        n_jobs = effective_n_jobs(None)
        learn = delayed(learn_group if n_jobs == 1 else _learn_group_alone)
        groups = group_shards(shards, self.merge_every, n_jobs)
        streams = getattr(get_active_backend()[0], "supports_return_generator", False)
        parallel = Parallel(return_as="generator" if streams else "list")
        tree = Tree(lambda a, b: a.join(b, step.merge))
        with threadpool_limits(1) if n_jobs > 1 else nullcontext():  # threads of ours would fight with those of BLAS
            for partial in parallel(learn(step, group, [{}] * len(group), context) for group in groups):
                tree.add(partial)
        return tree.total()

    def share(self, value):
        """Return what hands a value to tasks."""
        return value

    def call(self, function, *arguments):
        """Return the result of a function of results."""
        return function(*arguments)

    def fetch(self, result):
        """Return a result."""
        return result


class DaskRunner:
    """Runs on a cluster; results stay there until they are fetched."""

    def __init__(self, client, merge_every):
        self.client, self.merge_every = client, merge_every
        self._names = {}  # key of a task -> names of its shards

    def reduce(self, step, shards, *context):
        """Return the joined statistics of all shards, as a future."""
        tree = Tree(self._join(step.merge))
        for group in group_shards(shards, self.merge_every, max(sum(self.client.nthreads().values()), 1)):
            futures = [shard.futures for shard in group]
            leaf = self.client.submit(learn_group, step, group, futures, context, pure=False)
            self._names[leaf.key] = [shard.name for shard in group]
            tree.add(leaf)  # joins are asked for as soon as both halves are, so that few results wait
        return tree.total()

    def share(self, value):
        """Return what hands a value to tasks: sent once, and again should its worker die."""
        return value if isinstance(value, str) else self.call(_same, value)

    def call(self, function, *arguments):
        """Return the result of a function of results, as a future."""
        return self.client.submit(function, *arguments, pure=False)

    def fetch(self, result):
        """Return a result, here on the client."""
        from distributed.scheduler import KilledWorker

        try:
            return result.result()
        except KilledWorker as error:
            raise WorkerLostError(tuple(self._names.get(error.task, ()))) from error

    def _join(self, merge):
        def join(a, b):
            return self.client.submit(_join_partials, a, b, merge, pure=False, priority=1)

        return join


class Tree:
    """Joins results two and two: as many as each other, so that few of them are there at a time."""

    def __init__(self, join):
        self._join, self._waiting = join, []  # (level, result)

    def add(self, result):
        """Add a result."""
        level = 0
        while self._waiting and self._waiting[-1][0] == level:
            result = self._join(self._waiting.pop()[1], result)
            level += 1
        self._waiting.append((level, result))

    def total(self):
        """Return the joined result."""
        while len(self._waiting) > 1:
            (_, left), (level, right) = self._waiting[-2:]
            self._waiting[-2:] = [(level, self._join(left, right))]
        return self._waiting[0][1]


def make_runner(client, merge_every):
    """Return a runner on the client's cluster, or with joblib where there is no client."""
    if client is None:
        return JoblibRunner(merge_every)
    if not hasattr(client, "submit") or not hasattr(client, "nthreads"):
        raise TypeError(f"The client must be a distributed.Client or None. Got {type(client).__name__}.")
    return DaskRunner(client, merge_every)


def used_shards(runner, result, shards):
    """Return the shards that are in a result of a runner, after making sure that no other is missing."""
    n_shards, skipped = runner.fetch(runner.call(_account, result))
    left_out = {name for name, _ in skipped}
    used = [shard for shard in shards if shard.name not in left_out]
    if n_shards != len(used):
        raise RuntimeError(f"{len(used)} shards should have been learned from, but {n_shards} were.")
    return used


def warn_of_skipped(skipped, n_shards):
    """Tell the user of shards that were left out."""
    name, reason = skipped[0]
    message = f"{len(skipped)} of {n_shards} shards were left out, the first of them {name!r}: {reason}"
    warnings.warn(message, stacklevel=3)


def _account(partial):
    return partial.n_shards, partial.skipped


def group_shards(shards, most, n_workers):
    """Cut the shards into groups that one task takes in, one after the other."""
    size = max(min(most, len(shards) // (_GROUPS_PER_WORKER * n_workers)), 1)
    return [shards[begin : begin + size] for begin in range(0, len(shards), size)]


def learn_group(step, group, computed, context):
    """Return the statistics of a group of shards."""
    total = Partial()
    for shard, values in zip(group, computed, strict=True):
        known = None if step.add is None else total.statistics
        learned = _learn_shard(step, known, shard, values, context)
        total = (total if known is None else total._replace(statistics=None)).join(learned, step.merge)
    return total


def _learn_group_alone(*arguments):
    """Do the same with one thread of OpenMP, whose number each thread of ours sets for itself."""
    with threadpool_limits(1, user_api="openmp"):
        return learn_group(*arguments)


def _learn_shard(step, known, shard, values, context):
    """Return the statistics of a shard, together with known ones where there are any."""
    try:
        found = None if step.find is None else step.find(shard, *context)
        if found is not None:
            return Partial(found, 0, 1)
        data = shard.read(values)
        n_rows = n_rows_of(data)
        if n_rows == 0:
            return Partial(known, 0, 1)
        learned = step.learn(data, shard, *context) if known is None else step.add(known, data, shard, *context)
        return Partial(learned, n_rows, 1)
    except MemoryError as error:
        raise ShardError(shard.name, f"out of memory: {error!r}. Cut it into smaller shards") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        if step.skips:
            return Partial(known, skipped=((shard.name, reason),))
        raise ShardError(shard.name, reason) from error


def _same(value):
    return value


def _join_partials(a, b, merge):
    return a.join(b, merge)
