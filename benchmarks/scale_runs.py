"""Single runs of bench_scale.py: a fit with shards, a fit on one machine, and counting under settings of malloc."""

import json
import logging
import math
import os
import pickle
import resource
import signal
import statistics
from collections import Counter

import joblib
import numpy as np
from data import read_wiki
from distributed.diagnostics.plugin import SchedulerPlugin
from timing import peak_mb, timed

from transferkit import LSAEncoder, TfidfEncoder, WordVectorEncoder
from transferkit.datasets import load_corpus, load_docstrings
from transferkit.distributed import fit_sharded
from transferkit.distributed._map_reduce import group_shards

ENCODERS = {
    "tfidf": TfidfEncoder(min_df=2),
    "lsa": LSAEncoder(100, max_features=50_000, n_iter=1),
    "words": WordVectorEncoder(100, max_features=30_000),
}
MERGE_EVERY = 8
PASSES = {"tfidf": 1, "lsa": 3, "words": 1}  # over the shards
# Dask's workers return freed memory at once, which makes NumPy's large temporary arrays slow; see docs/scale.md.
MALLOC_OF_DASK = {"MALLOC_TRIM_THRESHOLD_": 1 << 16}
MALLOC = {"MALLOC_TRIM_THRESHOLD_": 1 << 28, "MALLOC_MMAP_THRESHOLD_": 1 << 25}
CLUSTER = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0", "silence_logs": logging.CRITICAL}
WARM_UP = "import transferkit.distributed, transferkit.encoders, pandas"  # the imports of a worker's first task


def load_sample(data):
    """Return the texts of the Wikipedia sample, or, without a folder of data, docstrings."""
    if data is None:
        return [" ".join(text.split()) for text in load_docstrings(["numpy"]).data]
    return read_wiki(data)


def write_shards(texts, folder, megabytes, n_shards):
    """Write texts, repeated or in part, as shards of about the same size; return their size in megabytes."""
    n_letters = sum(map(len, texts))
    n_times = max(round(megabytes * 1e6 / n_letters), 1)
    texts = texts[: math.ceil(len(texts) * min(megabytes * 1e6 / n_letters, 1))]
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
    for number in range(n_shards):
        begin, end = (k * len(lines) * n_times // n_shards for k in (number, number + 1))
        with open(folder / f"texts-{number:02d}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(lines[k % len(lines)] for k in range(begin, end))
    return sum(path.stat().st_size for path in folder.glob("*.jsonl")) / 1e6


def make_encoder(name):
    """Return an unfitted copy of an encoder."""
    return pickle.loads(pickle.dumps(ENCODERS[name]))


def measure_counting(name, folder):
    """Return seconds and page faults of counting the terms of a shard, under the environment's settings of malloc."""
    texts = load_corpus(sorted(folder.glob("*.jsonl"))[0])
    seconds, faults = [], []
    for _ in range(9):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        seconds.append(timed(lambda: make_encoder(name).first_pass().add(None, texts, 0))[1])
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return {"seconds": statistics.median(seconds), "page_faults": statistics.median(faults)}


def fit_reference(name, folder):
    """Fit on one machine, as a user without a cluster would, and keep the encoder."""
    encoder, paths = make_encoder(name), sorted(folder.glob("*.jsonl"))
    _, seconds = timed(lambda: encoder.fit(text for path in paths for text in load_corpus(path)))
    joblib.dump(encoder, folder / f"{name}.joblib")
    return {"seconds": seconds, "peak_mb": peak_mb()}


def compare(name, found, expected):
    """Return the largest difference from the fit on one machine; counts must be equal."""
    assert found.n_documents_ == expected.n_documents_
    assert found.vocabulary_ == expected.vocabulary_
    if name == "tfidf":
        return float(np.abs(found.idf_ - expected.idf_).max())
    if name == "lsa":
        assert np.array_equal(found.tfidf_.idf_, expected.tfidf_.idf_)
        return float(np.abs(found.singular_values_ / expected.singular_values_ - 1).max())
    assert np.array_equal(found.frequency_, expected.frequency_)
    return float(np.abs(found.vectors_ - expected.vectors_).max())


class Watch(SchedulerPlugin):
    """Sums the workers' time by kind of task, and kills a worker after `kill_after` groups of shards."""

    name = "watch"

    def __init__(self, kill_after, pid):
        self.kill_after, self.pid = kill_after, pid
        self.n_learned, self.killed, self.seconds = 0, False, Counter()

    def transition(self, key, start, finish, *args, startstops=(), **kwargs):  # noqa: D102
        if start != "processing" or finish != "memory":
            return
        learns = str(key).startswith("reduce_group")
        task = "learning" if learns else "joining" if str(key).startswith("_merge") else "other tasks"
        for span in startstops:
            kind = {"compute": task, "transfer": "fetching"}.get(span["action"], "other")
            self.seconds[kind] += span["stop"] - span["start"]
        self.n_learned += learns
        if learns and self.n_learned == self.kill_after:
            os.kill(self.pid, signal.SIGKILL)
            self.killed = True


def fit_on_cluster(name, folder, n_workers, n_shards, kill):
    """Fit with workers of one thread each, which share nothing but the folder."""
    import dask
    from distributed import Client, LocalCluster

    paths = sorted(folder.glob("*.jsonl"))
    encoder, shards = make_encoder(name), paths[:n_shards]
    settings = {"distributed.worker.memory.terminate": False, "distributed.worker.memory.pause": False}
    settings |= {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in MALLOC.items()}
    with (
        dask.config.set(settings),
        LocalCluster(n_workers=n_workers, **CLUSTER) as cluster,
        Client(cluster) as client,
    ):
        client.run(exec, WARM_UP, {})
        n_groups = len(group_shards(shards, MERGE_EVERY, n_workers))
        pid = next(iter(client.run(os.getpid).values()))
        watch = Watch(PASSES[name] * n_groups // 2 if kill else 0, pid)
        cluster.scheduler.add_plugin(watch)
        _, seconds = timed(lambda: fit_sharded(encoder, shards, client=client, merge_every=MERGE_EVERY))
        report = {"workers": n_workers, "shards": n_shards, "seconds": seconds, "client_mb": peak_mb()}
        report["worker_mb"] = max(client.run(peak_mb).values())
        report["seconds_of_workers"] = dict(watch.seconds)
        assert watch.killed == kill, "the fit ended before the worker was killed"
    assert encoder.n_shards_ == n_shards
    if len(shards) == len(paths):
        report["difference"] = compare(name, encoder, joblib.load(folder / f"{name}.joblib"))
    return report
