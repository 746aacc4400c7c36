"""The constants of the model on paper, each measured apart from the runs that the model foresees."""

import math
import pickle
import resource
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scale_model import LSA_VECTORS
from scale_runs import CLUSTER, make_encoder

from transferkit import TfidfEncoder, WordVectorEncoder
from transferkit.distributed import _fitting
from transferkit.distributed._runners import JoblibRunner, Tree, learn_group
from transferkit.distributed._shards import find_shards


def timed(function, *arguments):
    """Return the result of a call, and its seconds."""
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def measure_tasks(name, folder, n_shards, size):
    """Return seconds of each kind of task on these shards without a cluster, and the bytes of what it returns.

    They run in a thread, as on a worker: glibc keeps less memory for the next array there than in the main thread.
    """
    encoder = make_encoder(name)
    recorder = _Recorder(size)
    shards = find_shards(f"{folder}/*.jsonl", "text")[:n_shards]
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_fitting._WAYS[type(encoder)], encoder, shards, recorder, False).result()
    return {"passes": recorder.passes, "calls": recorder.calls}


class _Recorder(JoblibRunner):
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

        tree = Tree(join)
        for begin in range(0, len(shards), self.merge_every):
            group = shards[begin : begin + self.merge_every]
            result, seconds = timed(learn_group, step, group, [{}] * len(group), context)
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


def measure_counting(name, folder):
    """Return seconds and page faults of counting the terms of a shard, as the environment has memory given back."""
    encoder, [shard, *_] = make_encoder(name), find_shards(f"{folder}/*.jsonl", "text")
    texts, seconds, faults = shard.read({}), [], []
    for _ in range(9):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        seconds.append(timed(_fitting._count_terms, texts, None, encoder)[1])
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return {"seconds": statistics.median(seconds), "page_faults": statistics.median(faults)}


def measure_transfer():
    """Return bytes a second from one worker process of this machine to another, and seconds a task."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, **CLUSTER) as cluster,
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


def measure_growth(texts):
    """Return what statistics of real text cost and how they grow: the constants of the large cases."""
    half = len(texts) // 2
    halves = [texts[:half], texts[half:]]
    counts = [timed(_fitting._count_terms, part, None, TfidfEncoder()) for part in halves]
    words = [timed(_fitting._count_words, part, None, WordVectorEncoder()) for part in halves]
    n_tokens = int(counts[0][0].terms.total.sum())
    speeds = {"TF-IDF": n_tokens / counts[0][1], "word pairs": n_tokens / words[0][1]}
    lsa_seconds, share = _measure_products(texts, halves[0])
    return {
        "tokens_per_second": speeds | {"LSA, a pass": n_tokens / lsa_seconds},
        "bytes_of_rows_per_byte": share,
        **_measure_merging(*(result for result, _ in counts), *(result for result, _ in words)),
        "seconds_per_added_number": _time_adding(),
        **_fit_laws(texts),
    }


def _measure_products(texts, part):
    """Return the seconds of a pass over a part, and how large its TF-IDF rows are beside the text."""
    tfidf = TfidfEncoder(min_df=2).fit(texts)
    basis = np.random.RandomState(0).normal(size=(len(tfidf.idf_), LSA_VECTORS)).astype(np.float32)
    rows = tfidf.transform(part)
    n_bytes = rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes
    seconds = timed(_fitting._multiply, part, None, tfidf, basis)[1]
    return seconds, n_bytes / sum(len(text.encode()) for text in part)


def _time_adding():
    numbers = np.ones((2, 1 << 25), np.float32)
    return timed(np.add, *numbers)[1] / numbers.shape[1]


def _measure_merging(a, b, c, d):
    """Return what joining two counts of terms (a, b) and two of words and their pairs (c, d) costs."""
    both, seconds = timed(a.merge, b, None)
    n_terms = len(a.terms.hashes) + len(b.terms.hashes)
    n_pairs = count_pairs(c) + count_pairs(d)
    joined, pair_seconds = timed(c.merge, d, WordVectorEncoder()._bounds())
    return {
        "bytes_per_term": len(pickle.dumps(both, 5)) / len(both.terms.hashes),
        "bytes_per_pair": len(pickle.dumps(joined.pairs, 5)) / count_pairs(joined),
        "seconds_per_merged_term": seconds / n_terms,
        "seconds_per_merged_pair": pair_seconds / n_pairs,
    }


def count_pairs(counts):
    """Return how many counts of pairs are held, some of them of the same pair."""
    return sum(part.nnz for part in counts.pairs)


def _fit_laws(texts):
    """Return how the numbers of distinct terms and pairs grow with that of tokens: factor and power."""
    n_tokens, laws = [], {"terms": [], "pairs": []}
    for share in (8, 4, 2, 1):
        counts = _fitting._count_words(texts[: len(texts) // share], None, WordVectorEncoder())
        n_tokens.append(int(counts.terms[3].sum()))
        laws["terms"].append(len(counts.ids))
        laws["pairs"].append(counts.all_pairs().nnz)
    fits = {name: np.polyfit(np.log(n_tokens), np.log(sizes), 1) for name, sizes in laws.items()}
    return {
        name: {
            "factor": math.exp(constant),
            "power": power,
            "measured": dict(zip(n_tokens, laws[name], strict=True)),
        }
        for name, (power, constant) in fits.items()
    }
