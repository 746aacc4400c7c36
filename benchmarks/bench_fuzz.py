"""Load broken model files, which must be rejected: valid files of twelve kinds, mutated 100,000 times.

Run ``python benchmarks/bench_fuzz.py --cases 100000 --seeds 0 1 2 3``; with ``--append`` runs with other seeds add up
in the results file. Bits and bytes are changed, files cut and spliced, the table of arrays and the JSON metadata
edited (values replaced, copied, deleted, wrapped; odd sizes, names of classes, names of files), numbers in arrays made
extreme, and values added that are small in the file and would be large in memory (streams, ends of strings, shapes,
many references, deep and wide nesting). After such edits the digest is computed again, as an attacker would do.
Every file is loaded with verify="probe", "full" or None and, if it loads, used. A failure is a crash of the process,
any error other than ModelFileError, a file that passes "full" but gives other results, or more time or memory than the
bounds for one file (they are in tests/persistence/mutations.py; on Linux the process cannot get more memory).
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
from results import RESULTS, describe_machine, read_results, write_results

ROOT = Path(__file__).parents[1]


def load_mutations():
    spec = importlib.util.spec_from_file_location("mutations", ROOT / "tests" / "persistence" / "mutations.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def work(seed, first, last, folder):
    """Read cases in this process; the number of each is first written to a file, to be known after a crash."""
    mutations = load_mutations()
    signal.signal(signal.SIGPROF, mutations.raise_timeout)
    corpus, counts, failures = mutations.make_corpus(folder), {"loaded": 0, "refused": 0}, []
    slowest = 0.0
    for case in corpus:
        mutations.read_broken_file(folder / "broken.tk", case, case.content, False, "full")  # imports modules
    mutations.limit_memory()
    with open(folder / "current", "wb", buffering=0) as current:
        for number in range(first, last):
            os.pwrite(current.fileno(), b"%020d" % number, 0)
            random = np.random.RandomState([seed, number])
            case = corpus[number % len(corpus)]
            content, has_new_digest = mutations.mutate(case.content, random)
            verify = ("probe", "full", None)[random.randint(3)]
            start = time.perf_counter()
            try:
                counts[mutations.read_broken_file(folder / "broken.tk", case, content, has_new_digest, verify)] += 1
            except BaseException as error:
                where = "".join(traceback.format_exception(error)[-3:])
                failures.append({"seed": seed, "case": number, "file": case.name, "error": where})
            slowest = max(slowest, time.perf_counter() - start)
    print(json.dumps({"counts": counts, "failures": failures, "slowest_s": slowest}))


def run_seed(seed, n_cases):
    """Return counts and failures of one seed; a crash is a failure, and the cases around it are counted."""
    counts, failures, slowest = {"loaded": 0, "refused": 0}, [], 0.0
    blocks = [(first, min(first + 5000, n_cases)) for first in range(0, n_cases, 5000)]
    while blocks:
        first, last = blocks.pop()
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--worker", *map(str, (seed, first, last)), folder]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                crashed = int((Path(folder) / "current").read_bytes())
                error = f"exit code {result.returncode}: {result.stderr[-500:]}"
                failures.append({"seed": seed, "case": crashed, "error": error})
                blocks += [(a, b) for a, b in ((first, crashed), (crashed + 1, last)) if a < b]
                continue
            report = json.loads(result.stdout.splitlines()[-1])
            counts = {name: counts[name] + report["counts"][name] for name in counts}
            failures += report["failures"]
            slowest = max(slowest, report["slowest_s"])
    return counts, failures, slowest


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--append", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULTS / "bench_fuzz.json")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        seed, first, last = map(int, args.worker[:3])
        return work(seed, first, last, Path(args.worker[3]))
    report = {
        "cases": 0, "loaded": 0, "refused": 0, "failures": [], "slowest_s": 0.0, "seconds": 0.0, "seeds": [],
        "bounds": {"seconds": load_mutations().SECONDS, "megabytes": load_mutations().MEGABYTES},
        "machine": describe_machine("cpu"),
    }  # fmt: skip
    if args.append:
        report |= read_results(args.output)
    for seed in args.seeds:
        start = time.perf_counter()
        counts, failures, slowest = run_seed(seed, args.cases // len(args.seeds))
        report["seeds"].append(seed)
        report["cases"] += args.cases // len(args.seeds)
        report["loaded"] += counts["loaded"]
        report["refused"] += counts["refused"]
        report["failures"] += failures
        report["slowest_s"] = round(max(report["slowest_s"], slowest), 3)
        report["seconds"] = round(report["seconds"] + time.perf_counter() - start, 1)
        print(f"seed {seed}: {counts}, {len(failures)} failures, slowest file {slowest:.2f} s", flush=True)
        for failure in failures[:20]:
            print(json.dumps(failure, indent=1), flush=True)
        write_results(args.output, report)  # after each seed, so that no result is lost
    return len(report["failures"]) > 0


if __name__ == "__main__":
    sys.exit(main())
