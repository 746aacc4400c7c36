"""How pretraining by shards scales, whether it equals one machine, and whether the model on paper foresees it.

Run ``python benchmarks/bench_scale.py ../shared/data`` (Linux, two cores, 8 GB of memory, 1 GB of disk; extra `dask`).
The Wikipedia sample is repeated to about 500 MB and written as 64 jsonl shards into a temporary folder. TF-IDF, LSA and
word vectors are fitted to them on a LocalCluster of 1 and 2 processes of one thread, alternately, each in a fresh
process; every result is compared with that of `fit` on one machine, once more with a worker killed halfway. Peak memory
is the largest resident size that the system has seen (VmHWM). Then the constants of the model are measured without a
cluster (for two workers: in two processes at a time, since cores share caches and memory), the tree of joins is
simulated with them, and its times are compared with those measured. The tables go into ``docs/scale.md``.
``--pieces tfidf`` (lsa, words, model) runs a part and keeps the rest of the results.
"""

import argparse
import gzip
import heapq
import json
import math
import os
import pickle
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import joblib
import numpy as np

import transferkit
from transferkit import LSAEncoder, TfidfEncoder, WordVectorEncoder
from transferkit.datasets import load_corpus
from transferkit.distributed import _fitting, _runners, fit_sharded
from transferkit.distributed._shards import find_shards

RESULTS = Path(__file__).parent / "results" / "bench_scale.json"
DOCUMENT = Path(__file__).parents[1] / "docs" / "scale.md"
ENCODERS = {
    "tfidf": TfidfEncoder(min_df=2),
    "lsa": LSAEncoder(64, n_iter=1),
    "words": WordVectorEncoder(64, max_features=30_000),
}
NAMES = {"tfidf": "TF-IDF", "lsa": "LSA, 64 components, n_iter=1", "words": "word vectors, 64 components"}
PASSES = {"tfidf": 1, "lsa": 3, "words": 1}  # over the shards
N_SHARDS, N_FEW = 64, 16
MERGE_EVERY = 8
# Dask has its workers give memory back at once, which makes NumPy's large temporary arrays slow; see docs/scale.md.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": 1 << 28, "MALLOC_MMAP_THRESHOLD_": 1 << 25}
WARM_UP = "import transferkit.distributed, transferkit.encoders, pandas"  # what a worker imports at its first task


def load_sample(data):
    with gzip.open(data / "wiki_en_sample" / "wiki_en_sample.txt.gz", "rt", encoding="utf-8", newline="\n") as file:
        return file.read().rstrip("\n").split("\n")


def write_shards(data, folder, megabytes):
    """Write the corpus, repeated, as shards of about the same size; return the number of megabytes."""
    texts = load_sample(data)
    n_letters = sum(map(len, texts))
    n_times = max(round(megabytes * 1e6 / n_letters), 1)
    texts = texts[: math.ceil(len(texts) * min(megabytes * 1e6 / n_letters, 1))]
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
    for number in range(N_SHARDS):
        begin, end = (k * len(lines) * n_times // N_SHARDS for k in (number, number + 1))
        with open(folder / f"texts-{number:02d}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(lines[k % len(lines)] for k in range(begin, end))
    return sum(path.stat().st_size for path in folder.glob("*.jsonl")) / 1e6


# One run, in a process of its own.


def peak_megabytes():
    """Return the largest resident size of this process so far."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def fit_reference(name, folder):
    encoder = pickle.loads(pickle.dumps(ENCODERS[name]))
    paths = sorted(folder.glob("*.jsonl"))
    start = time.perf_counter()
    encoder.fit(text for path in paths for text in load_corpus(path))
    seconds = time.perf_counter() - start
    joblib.dump(encoder, folder / f"{name}.joblib")
    return {"seconds": seconds, "peak_mb": peak_megabytes()}


def compare(name, found, expected):
    """Return the largest difference from one machine; counts must be equal."""
    assert found.n_documents_ == expected.n_documents_
    assert found.vocabulary_ == expected.vocabulary_
    if name == "tfidf":
        return float(np.abs(found.idf_ - expected.idf_).max())
    if name == "lsa":
        assert np.array_equal(found.tfidf_.idf_, expected.tfidf_.idf_)
        return float(np.abs(found.singular_values_ / expected.singular_values_ - 1).max())
    assert np.array_equal(found.frequency_, expected.frequency_)
    return float(np.abs(found.vectors_ - expected.vectors_).max())


def fit_on_cluster(name, folder, n_workers, n_shards, kill):
    import dask
    from distributed import Client, LocalCluster

    shards = sorted(folder.glob("*.jsonl"))[:n_shards]
    encoder = pickle.loads(pickle.dumps(ENCODERS[name]))
    settings = {"distributed.worker.memory.terminate": False, "distributed.worker.memory.pause": False}
    settings |= {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in MALLOC.items()}
    with (
        dask.config.set(settings),
        LocalCluster(n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.run(exec, WARM_UP, {})
        pids, done, killed = list(client.run(os.getpid).values()), threading.Event(), []

        def kill_halfway():
            while not done.wait(0.1):
                if client.run_on_scheduler(count_learned) >= PASSES[name] * N_SHARDS // MERGE_EVERY / 2:
                    os.kill(pids[0], signal.SIGKILL)
                    return killed.append(pids[0])
            return None

        if kill:
            threading.Thread(target=kill_halfway, daemon=True).start()
        start = time.perf_counter()
        fit_sharded(encoder, shards, client=client, merge_every=MERGE_EVERY)
        seconds = time.perf_counter() - start
        done.set()
        report = {"workers": n_workers, "shards": n_shards, "seconds": seconds, "client_mb": peak_megabytes()}
        report["worker_mb"] = max(client.run(peak_megabytes).values())
        assert bool(killed) == kill, "the worker was to be killed before the end"
    assert encoder.n_shards_ == n_shards
    if n_shards == N_SHARDS:
        report["difference"] = compare(name, encoder, joblib.load(folder / f"{name}.joblib"))
    return report


def count_learned(dask_scheduler):
    """Return how many groups of shards have been learned from, on the scheduler."""
    prefix = dask_scheduler.task_prefixes.get("learn_group")
    return 0 if prefix is None else prefix.state_counts["memory"]


def in_own_process(*task, copies=1):
    """Run one of the functions above in a fresh process (or several at a time), with one thread of BLAS as workers."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, **{name: str(value) for name, value in MALLOC.items()}}
    command = [sys.executable, __file__, "--task", json.dumps(task)]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(copies)]
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError(f"{task} failed")
    return json.loads(outputs[0].splitlines()[-1])


def run_task(task, name, folder, *arguments):
    run = {"reference": fit_reference, "cluster": fit_on_cluster, "constants": measure_constants}
    run["transfer"] = measure_transfer
    print(json.dumps(run[task](name, Path(folder), *arguments)))


# The constants of the model, measured in one process.


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def measure_constants(name, folder):
    """Return seconds of each kind of task on these shards, and the bytes of what it returns."""
    encoder = pickle.loads(pickle.dumps(ENCODERS[name]))
    runner = _Recorder(MERGE_EVERY)
    shards = find_shards(f"{folder}/*.jsonl", "text")[: 2 * MERGE_EVERY]
    _fitting._WAYS[type(encoder)](encoder, shards, runner, False)
    return {"passes": runner.passes, "calls": runner.calls}


class _Recorder(_runners.JoblibRunner):
    """Runs everything here, and writes down how long each task took and how large its result is."""

    def __init__(self, merge_every):
        super().__init__(merge_every)
        self.passes, self.calls = [], {}

    def reduce(self, step, shards, *context):
        learned, joined, sizes = [], [], []

        def join(a, b):
            result, seconds = timed(lambda: a.join(b, step.merge))
            joined.append(seconds)
            return result

        tree = _runners.Tree(join)
        for begin in range(0, len(shards), self.merge_every):
            group = shards[begin : begin + self.merge_every]
            result, seconds = timed(_runners.learn_group, step, group, [{}] * len(group), context)
            learned.append(seconds)
            sizes.append(len(pickle.dumps(result, protocol=5)))
            tree.add(result)
        total = tree.total()
        recorded = {"learn": statistics.median(learned), "join": statistics.median(joined)}
        recorded |= {"bytes": statistics.median(sizes), "context_bytes": sum(len(pickle.dumps(c, 5)) for c in context)}
        self.passes.append(recorded)
        return total

    def call(self, function, *arguments):
        result, seconds = timed(function, *arguments)
        self.calls[function.__name__] = self.calls.get(function.__name__, 0) + seconds
        return result


def measure_transfer(name, folder):
    """Return bytes a second from one worker process of this machine to another, and seconds a task."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        here, there = client.scheduler_info()["workers"]
        client.submit(np.zeros, 10, workers=[here]).result()
        made = client.submit(np.ones, 10_000_000, workers=[here])  # 80 MB
        made.result()
        _, seconds = timed(lambda: client.submit(len, made, workers=[there]).result())
        futures, overhead = timed(lambda: client.gather(client.map(abs, range(200))))
        assert len(futures) == 200
    return {"bytes_per_second": 80e6 / seconds, "task_seconds": overhead / 200}


# The model on paper.


class Node:
    """A task of the tree: learning from a group of shards, or joining two results."""

    def __init__(self, order, parts=()):
        self.order, self.parts, self.consumer = order, parts, None
        self.n_groups = sum(part.n_groups for part in parts) or 1
        self.missing = len(parts)
        self.worker, self.is_taken = None, False
        for part in parts:
            part.consumer = self


def grow_tree(n_groups):
    """Return the nodes of the tree that a cluster is given, each after its parts."""
    nodes = []

    def add(*parts):
        nodes.append(Node(len(nodes), parts))
        return nodes[-1]

    tree = _runners.Tree(add)
    for _ in range(n_groups):
        tree.add(add())
    tree.total()
    return nodes


class Simulation:
    """Workers that take a join of what they hold, or another join, or else the next group, in this order.

    `learn` is seconds; `join(n)` and `n_bytes(n)` depend on the number n of groups in a result; what a worker lacks for
    a join is sent to it first, at `bandwidth` bytes a second.
    """

    def __init__(self, n_groups, n_workers, learn, join, n_bytes, bandwidth, task_seconds=0.0):
        self.nodes = grow_tree(n_groups)
        self.learn, self.join, self.n_bytes = learn, join, n_bytes
        self.bandwidth, self.task_seconds = bandwidth, task_seconds
        self.groups = iter([node for node in self.nodes if not node.parts])
        self.joins, self.foreign = [[] for _ in range(n_workers)], []  # of each worker; a heap of all of them
        self.idle, self.running, self.clock = list(range(n_workers)), [], 0.0
        self.held, self.most, self.moved = [0.0] * n_workers, 0.0, 0.0

    def run(self):
        """Return makespan in seconds, bytes moved between workers, and the most bytes that a worker held."""
        while True:
            while self.idle and (node := self._next(self.idle[-1])) is not None:
                self._start(self.idle.pop(), node)
            if not self.running:
                return self.clock, self.moved, self.most
            self._finish(*heapq.heappop(self.running))

    def _next(self, worker):
        for queue in (self.joins[worker], self.foreign):
            while queue:
                node = queue.pop()
                if not node.is_taken:
                    node.is_taken = True
                    return node
        return next(self.groups, None)

    def _start(self, worker, node):
        away = sum(self.n_bytes(part.n_groups) for part in node.parts if part.worker != worker)
        self.moved += away
        self.held[worker] += self.n_bytes(node.n_groups) + away
        self.most = max(self.most, self.held[worker])
        seconds = self.join(node.n_groups) + away / self.bandwidth if node.parts else self.learn
        heapq.heappush(self.running, (self.clock + self.task_seconds + seconds, node.order, worker, away))

    def _finish(self, clock, order, worker, away):
        node, self.clock = self.nodes[order], clock
        node.worker = worker
        for part in node.parts:
            self.held[part.worker] -= self.n_bytes(part.n_groups)
        self.held[worker] -= away
        self.idle.append(worker)
        consumer = node.consumer
        if consumer is not None:
            consumer.missing -= 1
            if consumer.missing == 0:
                self.joins[worker].append(consumer)
                self.foreign.append(consumer)


def simulate(*arguments):
    return Simulation(*arguments).run()


def predict_small(constants, n_workers, n_shards):
    """Return the seconds that the model expects of a run that is measured here."""
    size = max(min(MERGE_EVERY, n_shards // (4 * n_workers)), 1)
    share, transfer, measured = size / MERGE_EVERY, constants["transfer"], constants[f"{n_workers} at a time"]
    total = sum(constants["1 at a time"]["calls"].values())
    for recorded in measured["passes"]:
        seconds, _, _ = simulate(
            math.ceil(n_shards / size),
            n_workers,
            recorded["learn"] * share,
            lambda n, recorded=recorded: recorded["join"],
            lambda n, recorded=recorded: recorded["bytes"],
            transfer["bytes_per_second"],
            transfer["task_seconds"],
        )
        total += seconds + recorded["context_bytes"] / transfer["bytes_per_second"]
    return total


def measure_growth(data):
    """Return what statistics of real text cost and how they grow: the constants of the large cases."""
    texts = load_sample(data)
    sizes = [len(texts) // 8, len(texts) // 4, len(texts) // 2, len(texts)]
    n_tokens, n_terms, n_pairs = [], [], []
    words = WordVectorEncoder(64)
    for size in sizes:
        counts = words._count(_fitting.WordCounts(), texts[:size])
        n_tokens.append(int(counts.terms[3].sum()))
        n_terms.append(len(counts.ids))
        n_pairs.append(sum(part.nnz for part in counts.pairs))
    half = len(texts) // 2
    (a, seconds_a), (b, _) = (
        timed(_fitting._count_terms, part, None, TfidfEncoder()) for part in (texts[:half], texts[half:])
    )
    both, merging = timed(a.merge, b, None)
    (c, pair_seconds), (d, _) = (
        timed(words._count, _fitting.WordCounts(), part) for part in (texts[:half], texts[half:])
    )
    joined, pair_merging = timed(c.merge, d, words._bounds())
    tfidf = TfidfEncoder(min_df=2).fit(texts)
    basis = np.random.RandomState(0).normal(size=(len(tfidf.idf_), LSA_VECTORS)).astype(np.float32)
    _, lsa_seconds = timed(_fitting._multiply, texts[:half], None, tfidf, basis)
    numbers = np.ones((2, 1 << 25), np.float32)
    _, adding = timed(np.add, *numbers)
    half_tokens = int(a.terms.total.sum())
    n_merged = len(a.terms.hashes) + len(b.terms.hashes)
    pairs_merged = sum(part.nnz for count in (c, d) for part in count.pairs)
    terms_fit = np.polyfit(np.log(n_tokens), np.log(n_terms), 1)
    pairs_fit = np.polyfit(np.log(n_tokens), np.log(n_pairs), 1)
    return {
        "tokens_per_second": {
            "TF-IDF": half_tokens / seconds_a,
            "word pairs": half_tokens / pair_seconds,
            "LSA, a pass": half_tokens / lsa_seconds,
        },
        "bytes_per_term": len(pickle.dumps(both, 5)) / len(both.terms.hashes),
        "bytes_per_pair": len(pickle.dumps(joined.pairs, 5)) / sum(part.nnz for part in joined.pairs),
        "seconds_per_merged_term": merging / n_merged,
        "seconds_per_merged_pair": pair_merging / pairs_merged,
        "seconds_per_added_number": adding / numbers.shape[1],
        "terms": {
            "factor": math.exp(terms_fit[1]),
            "power": terms_fit[0],
            "measured": dict(zip(n_tokens, n_terms, strict=True)),
        },
        "pairs": {
            "factor": math.exp(pairs_fit[1]),
            "power": pairs_fit[0],
            "measured": dict(zip(n_tokens, n_pairs, strict=True)),
        },
    }


TOKENS = (10**9, 10**11, 10**13)
WORKERS = (1, 10, 1000)
GROUP_TOKENS = 10**8  # 8 shards of some 75 MB
NETWORK = 1.25e9  # bytes a second between workers, assumed: 10 Gbit/s
MAX_VOCABULARY, MAX_PAIRS = 20_000_000, 100_000_000
LSA_TERMS, LSA_VECTORS, LSA_PASSES = 1_000_000, 266, 5


class Paper:
    """Seconds and bytes of tasks over groups of real text, from the constants."""

    def __init__(self, growth):
        self.growth = growth

    def _distinct(self, what, n_groups, most):
        law = self.growth[what]
        return min(law["factor"] * (n_groups * GROUP_TOKENS) ** law["power"], most)

    def term_bytes(self, n):
        """Return the bytes of the terms of n groups."""
        return self.growth["bytes_per_term"] * self._distinct("terms", n, MAX_VOCABULARY)

    def pair_bytes(self, n):
        """Return the bytes of their terms and pairs."""
        return self.term_bytes(n) + self.growth["bytes_per_pair"] * self._distinct("pairs", n, MAX_PAIRS)

    def join_terms(self, n):
        """Return the seconds in which two halves of n groups are joined."""
        return self.growth["seconds_per_merged_term"] * 2 * self._distinct("terms", n / 2, MAX_VOCABULARY)

    def join_pairs(self, n):
        """Return the same for word vectors."""
        return self.growth["seconds_per_merged_pair"] * 2 * self._distinct("pairs", n / 2, MAX_PAIRS)

    def matrix_bytes(self, n):
        """Return the bytes of LSA's product, however many groups it is of."""
        return 4 * LSA_TERMS * LSA_VECTORS

    def join_matrices(self, n):
        """Return the seconds in which two of them are added."""
        return self.growth["seconds_per_added_number"] * LSA_TERMS * LSA_VECTORS

    def learn(self, kind):
        """Return the seconds of one group."""
        return GROUP_TOKENS / self.growth["tokens_per_second"][kind]


def predict_large(growth):
    """Return the table of the paper: time, memory and bytes moved of each encoder, corpus and cluster."""
    paper = Paper(growth)
    kinds = {
        "TF-IDF": (paper.learn("TF-IDF"), paper.join_terms, paper.term_bytes),
        "word vectors": (paper.learn("word pairs"), paper.join_pairs, paper.pair_bytes),
        "LSA": (paper.learn("LSA, a pass"), paper.join_matrices, paper.matrix_bytes),
    }
    return [
        predict_case(kind, tasks, n_tokens, n_workers)
        for kind, tasks in kinds.items()
        for n_tokens in TOKENS
        for n_workers in WORKERS
    ]


def predict_case(kind, tasks, n_tokens, n_workers):
    n_groups, (learn, join, n_bytes), passes = n_tokens // GROUP_TOKENS, tasks, 1
    seconds, moved, most = simulate(n_groups, n_workers, learn, join, n_bytes, NETWORK)
    if kind == "LSA":  # each pass begins by handing every worker the basis, from worker to worker
        basis, passes = n_bytes(1), LSA_PASSES
        moved, most = moved + basis * (min(n_workers, n_groups) - 1), most + basis
        seconds += math.ceil(math.log2(n_workers)) * basis / NETWORK
    return {
        "kind": kind,
        "tokens": n_tokens,
        "workers": n_workers,
        "hours": passes * seconds / 3600,
        "gb_moved": passes * moved / 1e9,
        "gb_a_worker": most / 1e9,
        "efficiency": n_groups * learn / n_workers / seconds,
    }


# All of it.


def measure_piece(name, folder, repeats):
    """Return the runs of one encoder: 1 and 2 workers alternately, few shards, and with a worker killed."""
    reference = in_own_process("reference", name, str(folder))
    print(name, "one machine", reference, flush=True)
    runs = []
    for n_workers in [1, 2] * repeats:
        runs.append(in_own_process("cluster", name, str(folder), n_workers, N_SHARDS, False))
        print(name, runs[-1], flush=True)
    times = {n: statistics.median(run["seconds"] for run in runs if run["workers"] == n) for n in (1, 2)}
    few = in_own_process("cluster", name, str(folder), 2, N_FEW, False)
    killed = in_own_process("cluster", name, str(folder), 2, N_SHARDS, True)
    print(name, "few", few, "killed", killed, flush=True)
    constants = {f"{n} at a time": in_own_process("constants", name, str(folder), copies=n) for n in (1, 2)}
    constants["transfer"] = in_own_process("transfer", name, str(folder))
    checked = []
    for run in [*runs, few]:
        predicted = predict_small(constants, run["workers"], run["shards"])
        checked.append(
            {"workers": run["workers"], "shards": run["shards"], "measured": run["seconds"], "predicted": predicted}
        )
        print(name, checked[-1], flush=True)
    return {
        "one machine": reference,
        "runs": runs,
        "few shards": few,
        "worker killed": killed,
        "speed-up": times[1] / times[2],
        "constants": constants,
        "model": checked,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--pieces", nargs="+", choices=[*ENCODERS, "model"], default=[*ENCODERS, "model"])
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        return run_task(*json.loads(arguments.task))
    if arguments.data is None:
        parser.error("the folder of the data is missing")
    report = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        megabytes = write_shards(arguments.data, Path(folder), arguments.megabytes)
        for piece in arguments.pieces:
            start = time.perf_counter()
            if piece == "model":
                growth = measure_growth(arguments.data)
                report["model"] = {"constants": growth, "table": predict_large(growth)}
            else:
                report[piece] = {"megabytes": round(megabytes), "shards": N_SHARDS}
                report[piece] |= measure_piece(piece, Path(folder), arguments.repeats)
            print(f"{piece}: {time.perf_counter() - start:.0f} s", flush=True)
    report["machine"] = {
        "processor": platform.machine(),
        "cores": joblib.cpu_count(),
        "python": platform.python_version(),
    }
    report["versions"] = {name: __import__(name).__version__ for name in ("numpy", "scipy", "dask", "distributed")}
    report["versions"]["transferkit"] = transferkit.__version__
    RESULTS.write_text(json.dumps(round_numbers(report), indent=1) + "\n")
    write_tables(report)
    return None


def round_numbers(value):
    """Return the report with numbers of four digits."""
    if isinstance(value, dict):
        return {key: round_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [round_numbers(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def write_tables(report):
    """Put the tables between the marks of the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for mark, make in {
        "runs": table_of_runs,
        "check": table_of_checks,
        "constants": table_of_constants,
        "paper": table_of_paper,
    }.items():
        try:
            table = make(report)
        except KeyError:  # a piece that has not been run yet
            continue
        text = re.sub(
            rf"(<!-- {mark} -->\n).*?(\n<!-- end -->)",
            lambda found, table=table: found[1] + table + found[2],
            text,
            flags=re.S,
        )
    DOCUMENT.write_text(text, encoding="utf-8")


def to_markdown(names, rows):
    return "\n".join(["| " + " | ".join(map(str, row)) + " |" for row in [names, ["---"] * len(names), *rows]])


def table_of_runs(report):
    rows = []
    for name in ENCODERS:
        piece = report[name]
        run = {n: [r for r in piece["runs"] if r["workers"] == n] for n in (1, 2)}
        seconds = [statistics.median(r["seconds"] for r in run[n]) for n in (1, 2)]
        few, killed, two = piece["few shards"], piece["worker killed"], run[2][-1]
        rows.append(
            [
                NAMES[name],
                f"{piece['megabytes']} MB",
                f"{piece['one machine']['seconds']:.0f} s",
                f"{seconds[0]:.0f} s",
                f"{seconds[1]:.0f} s",
                f"{piece['speed-up']:.2f}",
                f"{killed['seconds']:.0f} s",
                f"{max(r['difference'] for r in [*piece['runs'], killed]):.1g}",
                f"{few['worker_mb']:.0f} / {two['worker_mb']:.0f} MB",
                f"{few['client_mb']:.0f} / {two['client_mb']:.0f} MB",
            ]
        )
    names = [
        "",
        "corpus",
        "`fit`",
        "1 worker",
        "2 workers",
        "times faster",
        "2, one killed halfway",
        "largest difference from `fit`",
    ]
    return to_markdown([*names, f"peak of a worker, {N_FEW} / {N_SHARDS} shards", "peak of the client"], rows)


def table_of_checks(report):
    rows = [
        [
            NAMES[name],
            run["workers"],
            run["shards"],
            f"{run['predicted']:.1f} s",
            f"{run['measured']:.1f} s",
            f"{run['predicted'] / run['measured'] - 1:+.0%}",
        ]
        for name in ENCODERS
        for run in report[name]["model"]
    ]
    return to_markdown(["", "workers", "shards", "simulated", "measured", "off by"], rows)


def table_of_constants(report):
    growth = report["model"]["constants"]
    rows = [
        [f"tokens a second and core, {kind}", f"{speed:,.0f}"] for kind, speed in growth["tokens_per_second"].items()
    ]
    rows += [
        ["bytes of a distinct term", f"{growth['bytes_per_term']:.0f}"],
        ["bytes of a pair of words", f"{growth['bytes_per_pair']:.1f}"],
        ["joining, for each term of either side", f"{1e9 * growth['seconds_per_merged_term']:.0f} ns"],
        ["joining, for each pair of either side", f"{1e9 * growth['seconds_per_merged_pair']:.0f} ns"],
        ["distinct terms of n tokens", f"{growth['terms']['factor']:.3g} n^{growth['terms']['power']:.2f}"],
        ["distinct pairs of n tokens", f"{growth['pairs']['factor']:.3g} n^{growth['pairs']['power']:.2f}"],
    ]
    return to_markdown(["constant", "measured"], rows)


def table_of_paper(report):
    rows = []
    for row in report["model"]["table"]:
        hours = row["hours"]
        span = (
            f"{3600 * hours:.0f} s" if hours < 0.1 else f"{hours:.1f} h" if hours < 100 else f"{hours / 24:,.0f} days"
        )
        rows.append(
            [
                row["kind"],
                f"10^{round(math.log10(row['tokens']))}",
                row["workers"],
                span,
                f"{row['efficiency']:.0%}",
                f"{row['gb_a_worker']:.1f} GB",
                f"{row['gb_moved']:,.0f} GB",
            ]
        )
    return to_markdown(["", "tokens", "workers", "time", "of it learning", "memory a worker", "moved"], rows)


if __name__ == "__main__":
    main()
