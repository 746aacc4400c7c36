"""Map-reduce over shards: tasks, partial results, and the loop over tasks that follow from each other."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from transferkit._warnings import count_inner_frames
from transferkit.distributed._shards import Shard
from transferkit.exceptions import ShardError

__all__ = ["Outcome", "Partial", "Report", "Task", "finish", "reduce_group", "report", "run_tasks", "warn_of_skipped"]


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

    Parameters
    ----------
    task : Task
        The first one.
    shards : sequence of Shard
        All shards.
    runner : JoblibRunner or DaskRunner
        Where tasks run.
    skips : bool
        Whether shards that fail in the first task are left out. One that fails later raises in any case.
    """
    known = runner.run(task, shards, skips, None)
    skipped, n_rows = known.report.skipped, known.report.n_rows
    names = {name for name, _ in skipped}
    used = [shard for shard in shards if shard.name not in names]
    while True:
        if known.report.n_shards != len(used):
            raise RuntimeError(f"Expected statistics of {len(used)} shards, got those of {known.report.n_shards}.")
        if known.report.is_last:
            break
        known = runner.run(known.following, used, False, n_rows)
    return Outcome(runner.fetch(known.following), [shard.name for shard in used], skipped)


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
