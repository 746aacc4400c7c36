"""Map-reduce over shards: tasks that follow from each other, run with joblib or on a Dask cluster."""

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol, runtime_checkable

from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend
from threadpoolctl import threadpool_limits

from transferkit.distributed._shards import Shard
from transferkit.exceptions import ShardError, WorkerLostError, count_inner_frames

__all__ = ["Task", "group_shards", "make_runner", "run_tasks", "warn_of_skipped"]

_GROUPS_PER_WORKER = 4  # at least, so that no worker waits long for the last one


@runtime_checkable
class Task(Protocol):
    """A map-reduce computation over all shards. Tasks and statistics can be pickled."""

    def add_shard(self, total: Any, shard: Shard, computed: dict) -> tuple[Any, int]:
        """Return the statistics `total` (None at the start) plus those of a shard, and the number of its rows.

        The call may change `total`, unless it raises. `computed` holds the values of the shard's futures, an argument
        of `shard.read`.
        """
        ...

    def merge(self, left: Any, right: Any) -> Any:
        """Return the sum of two statistics as a new object: a cluster may compute it twice."""
        ...

    def finish(self, total: Any) -> Any:
        """Return the next task, or the result."""
        ...


class Partial(NamedTuple):
    """Statistics of some shards."""

    total: Any = None
    n_rows: int = 0
    n_shards: int = 0
    skipped: tuple = ()  # (name, reason) of each

    def merge(self, other: "Partial", task: Task) -> "Partial":
        """Return the statistics of the shards of both."""
        known = [total for total in (self.total, other.total) if total is not None]
        return Partial(
            task.merge(*known) if len(known) == 2 else next(iter(known), None),
            self.n_rows + other.n_rows,
            self.n_shards + other.n_shards,
            self.skipped + other.skipped,
        )


class Report(NamedTuple):
    """Summary of a completed task, for the client."""

    n_rows: int
    n_shards: int
    skipped: tuple
    is_last: bool


class Outcome(NamedTuple):
    """Result of the last task (None if no shard had rows), names of the shards used, and those skipped with reasons."""

    result: Any
    used: list
    skipped: tuple


def run_tasks(task: Task, shards: Sequence[Shard], runner: Any, *, skips: bool) -> Outcome:
    """Run a task over all shards, and then those that follow from it.

    With `skips`, shards that fail in the first task are left out. One that fails later raises in any case.
    """
    following, first = runner.run(task, shards, skips, None)
    names = {name for name, _ in first.skipped}
    used = [shard for shard in shards if shard.name not in names]
    current = first
    while True:
        if current.n_shards != len(used):
            raise RuntimeError(f"Expected statistics of {len(used)} shards, got those of {current.n_shards}.")
        if current.is_last:
            return Outcome(runner.fetch(following), [shard.name for shard in used], first.skipped)
        following, current = runner.run(following, used, False, first.n_rows)


def warn_of_skipped(outcome: Outcome) -> None:
    """Warn that shards were left out, in the name of the public function that calls this."""
    if outcome.skipped:
        n_shards, (name, reason) = len(outcome.used) + len(outcome.skipped), outcome.skipped[0]
        message = f"{len(outcome.skipped)} of {n_shards} shards were left out, the first of them {name!r}: {reason}"
        warnings.warn(message, stacklevel=count_inner_frames())


def reduce_group(task: Task, shards: Sequence[Shard], computed: Sequence[dict], skips: bool) -> Partial:
    """Return the statistics of some shards, on a worker; `computed` are the values of their futures."""
    total, n_rows, skipped = None, 0, []
    for shard, values in zip(shards, computed, strict=True):
        try:
            total, n_new = task.add_shard(total, shard, values)
            n_rows += n_new
        except MemoryError as error:
            raise ShardError(shard.name, f"out of memory: {error!r}. Cut it into smaller shards") from error
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if not skips:
                raise ShardError(shard.name, reason) from error
            skipped.append((shard.name, reason))
    return Partial(total, n_rows, len(shards) - len(skipped), tuple(skipped))


def finish(task: Task, partial: Partial, n_rows: int | None) -> Any:
    """Return the next task or the result, unless the number of rows differs from that of the first task."""
    if n_rows is not None and partial.n_rows != n_rows:
        raise RuntimeError(
            f"The shards held {n_rows} texts or rows in the first pass and {partial.n_rows} in a later one. Shards "
            "must not change during a fit."
        )
    return None if partial.total is None else task.finish(partial.total)


def report(partial: Partial, following: Any) -> Report:
    """Return the summary of a task, given the statistics of all shards and the next task or the result."""
    return Report(partial.n_rows, partial.n_shards, partial.skipped, not isinstance(following, Task))


def make_runner(client, merge_every):
    """Return a runner on the client's cluster, or with joblib if there is no client."""
    if client is None:
        return JoblibRunner(merge_every)
    if not hasattr(client, "submit") or not hasattr(client, "nthreads"):
        raise TypeError(f"The client must be a distributed.Client or None. Got {type(client).__name__}.")
    return DaskRunner(client, merge_every)


class JoblibRunner:
    """Runs on this machine, or wherever :func:`joblib.parallel_config` says."""

    def __init__(self, merge_every):
        self.merge_every = merge_every

    def run(self, task, shards, skips, n_rows):
        """Run a task over all shards, of `n_rows` rows if that is known.

        Returns the next task or the result, as the runner holds it, and the report.
        """
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
        return following, report(partial, following)

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
        return following, self.fetch(self._submit(report, partial, following))

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
