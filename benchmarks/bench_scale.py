"""How pretraining by shards scales, whether it equals one machine, and whether the model on paper foresees it.

Run ``python benchmarks/bench_scale.py DATA`` (Linux, two cores, 8 GB of memory, 1 GB of disk, 25 minutes, Dask).
The Wikipedia sample is repeated to about 500 MB and written as 64 jsonl shards into a temporary folder. TF-IDF, LSA and
word vectors are fitted to them on a LocalCluster of 1 and 2 processes of one thread, alternately, each in a fresh
process; every result is compared with that of `fit` on one machine, once more with a worker killed halfway. Peak memory
is the largest resident size that the system has seen (VmHWM). Then the constants of the model are measured without a
cluster (for two workers: in two processes at a time, since cores share caches and memory), the tree of joins is
simulated with them, and its times are compared with those measured. ``--pieces tfidf`` (lsa, words, model) runs a part
and keeps the rest of the results; ``--quick`` runs all of it in small, on docstrings, and needs no data.
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
from machine import describe_machine
from scale_constants import measure_counting, measure_growth, measure_tasks, measure_transfer
from scale_model import TOKENS, group_size, predict_large, predict_run
from scale_runs import ENCODERS, MALLOC, MALLOC_OF_DASK, fit_on_cluster, fit_reference, load_sample, write_shards
from threadpoolctl import threadpool_limits

RESULTS = Path(__file__).parent / "results" / "bench_scale.json"


def in_own_process(*task, copies=1, malloc=MALLOC):
    """Return the results of a task in a fresh process, or in several at a time, with one thread of BLAS as workers."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, **{name: str(value) for name, value in malloc.items()}}
    command = [sys.executable, __file__, "--task", json.dumps(task)]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(copies)]
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError(f"{task} failed")
    return [json.loads(output.splitlines()[-1]) for output in outputs]


def in_this_process(*task, copies=1, malloc=MALLOC):
    """Return the result of a task without starting Python anew, for quick runs."""
    return [run_task(*task)]


def run_task(task, name, folder, *arguments):
    tasks = {"reference": fit_reference, "cluster": fit_on_cluster, "tasks": measure_tasks}
    tasks["counting"] = measure_counting
    return tasks[task](name, Path(folder), *arguments)


def measure_piece(name, folder, n_shards, n_few, repeats, run):
    """Return the runs of one encoder: 1 and 2 workers alternately, few shards, and with a worker killed."""

    def fit(n_workers, n_shards, kill=False):
        [report] = run("cluster", name, str(folder), n_workers, n_shards, kill)
        print(name, report, flush=True)
        return report

    [reference] = run("reference", name, str(folder))
    print(name, "one machine", reference, flush=True)
    runs = [fit(n_workers, n_shards) for n_workers in [1, 2] * repeats]
    return {
        "one machine": reference,
        "runs": runs,
        "few shards": fit(2, n_few),
        "worker killed": fit(2, n_shards, kill=True),
    }


def check_model(name, folder, piece, n_few, transfer, run):
    """Return constants of an encoder's tasks, measured without a cluster, and what the model says of the runs."""
    constants, checked = {"transfer": transfer}, []
    for fit in [*piece["runs"], piece["few shards"]]:
        n_workers, size = fit["workers"], group_size(fit["shards"], fit["workers"])
        key = f"groups of {size}, {n_workers} at a time"
        if key not in constants:
            found = run("tasks", name, str(folder), n_few, size, copies=n_workers)[0]
            constants.setdefault("calls", found["calls"])  # of the first, alone
            constants[key] = {"passes": found["passes"]}
        predicted = predict_run(constants, n_workers, fit["shards"])
        checked.append({key: fit[key] for key in ("workers", "shards")})
        checked[-1] |= {"measured": fit["seconds"], "predicted": predicted}
        print(name, checked[-1], flush=True)
    return {"constants": constants, "model": checked}


def measure(arguments, folder, report):
    """Run the pieces, and write the report after each."""
    n_shards, n_few, megabytes = (16, 8, 4) if arguments.quick else (64, 16, arguments.megabytes)
    texts = load_sample(None if arguments.quick else arguments.data)
    megabytes = write_shards(texts, folder, megabytes, n_shards)
    transfer, run = measure_transfer(), in_this_process if arguments.quick else in_own_process
    for piece in arguments.pieces:
        if piece == "model":
            growth = measure_growth(texts)
            sizes = TOKENS[:2] if arguments.quick else TOKENS  # the largest takes half a minute
            found = {"constants": growth, "table": predict_large(growth, sizes), "transfer": transfer}
            settings = {"Dask's": MALLOC_OF_DASK, "these": MALLOC}
            found["allocator"] = {
                name: run("counting", "tfidf", str(folder), malloc=malloc)[0] for name, malloc in settings.items()
            }
        else:
            found = {"megabytes": round(megabytes), "shards": n_shards}
            found |= measure_piece(piece, folder, n_shards, n_few, arguments.repeats, run)
            found |= check_model(piece, folder, found, n_few, transfer, run)
        report[piece] = found
        report["machine"] = describe_machine("cpu")
        arguments.output.write_text(json.dumps(round_numbers(report), indent=1) + "\n", encoding="utf-8")


def round_numbers(value):
    """Return the report with numbers of four digits."""
    if isinstance(value, dict):
        return {key: round_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [round_numbers(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="folder of the data sets")
    parser.add_argument("--pieces", nargs="+", choices=[*ENCODERS, "model"], default=[*ENCODERS, "model"])
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        print(json.dumps(run_task(*json.loads(arguments.task))))
        return
    if arguments.data is None and not arguments.quick:
        parser.error("the folder of the data is missing")
    report = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    with quickly() if arguments.quick else nullcontext(), tempfile.TemporaryDirectory() as folder:
        measure(arguments, Path(folder), report)


@contextmanager
def quickly():
    """Have workers forked from one process, which imports what they need once, and BLAS use one thread."""
    with threadpool_limits(1), dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload(["distributed", "pandas", "scale_runs"])
        yield


if __name__ == "__main__":
    main()
