"""Time fit_sharded on a Dask cluster of one machine, and compare its results with those of `fit`.

Run ``python benchmarks/bench_scale.py DATA`` (Linux, two cores, 8 GB of memory, 1 GB of disk, 20 minutes, Dask). The
Wikipedia sample is repeated to about 500 MB and written as 64 jsonl shards into a temporary folder. TF-IDF, LSA and
word vectors are fitted to them on a LocalCluster of one and two processes of one thread, alternately, each in a fresh
process; every result is compared with that of `fit` on one machine, once also with a worker killed halfway. Peak memory
is the largest resident size of a process (VmHWM). The piece "allocator" counts the terms of a shard under Dask's
settings of malloc and under those recommended in docs/scale.md. ``--pieces tfidf`` (lsa, words, allocator) runs some
pieces and keeps the other results; ``--quick`` runs all of them on a few docstrings, without DATA.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path

import dask
from distributed.utils import get_mp_context
from results import RESULTS, describe_machine, read_results, write_results
from scale_runs import (
    ENCODERS,
    MALLOC,
    MALLOC_OF_DASK,
    fit_on_cluster,
    fit_reference,
    load_sample,
    measure_counting,
    write_shards,
)
from threadpoolctl import threadpool_limits


def in_own_process(*task, malloc=MALLOC):
    """Return the result of a task in a fresh process, with one thread of BLAS as on workers."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, **{name: str(value) for name, value in malloc.items()}}
    command = [sys.executable, __file__, "--task", json.dumps(task)]
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def in_this_process(*task, malloc=MALLOC):
    """Return the result of a task without starting another process, for quick runs."""
    return run_task(*task)


def run_task(task, name, folder, *arguments):
    tasks = {"reference": fit_reference, "cluster": fit_on_cluster, "counting": measure_counting}
    return tasks[task](name, Path(folder), *arguments)


def measure_piece(name, folder, n_shards, n_few, repeats, run):
    """Return the runs of one encoder: one and two workers alternately, few shards, and with a worker killed."""

    def fit(n_workers, n_shards, kill=False):
        report = run("cluster", name, str(folder), n_workers, n_shards, kill)
        print(name, report, flush=True)
        return report

    reference = run("reference", name, str(folder))
    print(name, "one machine", reference, flush=True)
    runs = [fit(n_workers, n_shards) for n_workers in [1, 2] * repeats]
    return {
        "one machine": reference,
        "runs": runs,
        "few shards": fit(2, n_few),
        "worker killed": fit(2, n_shards, kill=True),
    }


def measure(arguments, folder, report):
    """Run the pieces, and write the report after each."""
    n_shards, n_few, megabytes = (16, 8, 4) if arguments.quick else (64, 16, arguments.megabytes)
    texts = load_sample(None if arguments.quick else arguments.data)
    megabytes = write_shards(texts, folder, megabytes, n_shards)
    run = in_this_process if arguments.quick else in_own_process
    for piece in arguments.pieces:
        if piece == "allocator":
            settings = {"Dask's": MALLOC_OF_DASK, "these": MALLOC}
            found = {name: run("counting", "tfidf", str(folder), malloc=malloc) for name, malloc in settings.items()}
        else:
            found = {"megabytes": round(megabytes), "shards": n_shards}
            found |= measure_piece(piece, folder, n_shards, n_few, arguments.repeats, run)
        report[piece] = found
        report["machine"] = describe_machine("cpu")
        write_results(arguments.output, round_numbers(report))


def round_numbers(value):
    """Return the report with floats rounded to four digits."""
    if isinstance(value, dict):
        return {key: round_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [round_numbers(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="folder of the data sets")
    parser.add_argument("--pieces", nargs="+", choices=[*ENCODERS, "allocator"], default=[*ENCODERS, "allocator"])
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULTS / "bench_scale.json")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        print(json.dumps(run_task(*json.loads(arguments.task))))
        return
    if arguments.data is None and not arguments.quick:
        parser.error("the folder of the data is missing")
    report = read_results(arguments.output)
    with quickly() if arguments.quick else nullcontext(), tempfile.TemporaryDirectory() as folder:
        measure(arguments, Path(folder), report)


@contextmanager
def quickly():
    """Fork workers from one process, which has imported their modules, and use one thread of BLAS."""
    with threadpool_limits(1), dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload(["distributed", "pandas", "scale_runs"])
        yield


if __name__ == "__main__":
    main()
