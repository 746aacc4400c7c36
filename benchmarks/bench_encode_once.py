"""Time a search over a head with a frozen encoder: encoding once, compared with encoding in every fold.

Run ``python benchmarks/bench_encode_once.py``. The same pretrained encoder and the same head
(LogisticHead) are searched over 5 values of C in 5 folds on 2,000 docstrings; all ways must find the same scores.
The rivals are scikit-learn's own ways to keep an encoder frozen. Medians of alternating runs, each with empty caches.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import joblib
import numpy as np
from results import RESULTS, describe_machine, write_results
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from timing import timed

from transferkit import LogisticHead, LSAEncoder, PretrainedEncoder
from transferkit.datasets import load_docstrings
from transferkit.encoders import _embedding_cache

REPEATS, N_TEXTS = 3, 2000
GRID = {"head__C": [0.01, 0.1, 1.0, 10.0, 100.0]}


def search(encoder, texts, labels, memory=None):
    model = Pipeline([("encoder", encoder), ("head", LogisticHead())], memory=memory)
    found, seconds = timed(lambda: GridSearchCV(model, GRID, cv=5).fit(texts, labels))
    return seconds, found.cv_results_["mean_test_score"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS / "bench_encode_once.json")
    arguments = parser.parse_args()
    docstrings = load_docstrings(remove_examples=True)
    encoder = LSAEncoder(256).fit(docstrings.data)
    chosen = np.random.RandomState(0).permutation(len(docstrings.data))[:N_TEXTS]
    texts, labels = [docstrings.data[i] for i in chosen], docstrings.kind[chosen]

    def with_memory():
        with tempfile.TemporaryDirectory() as folder:
            return search(FrozenEstimator(encoder), texts, labels, joblib.Memory(folder, verbose=0))

    def encode_once():
        _embedding_cache.clear_embeddings()
        return search(PretrainedEncoder(encoder), texts, labels)

    ways = {
        "FrozenEstimator": lambda: search(FrozenEstimator(encoder), texts, labels),
        "FrozenEstimator, Pipeline(memory=...)": with_memory,
        "PretrainedEncoder": encode_once,
        "head alone, rows encoded beforehand": lambda: search("passthrough", encoder.transform(texts), labels),
    }
    seconds = {name: [] for name in ways}
    for _ in range(REPEATS):
        scores = {}
        for name, run in ways.items():
            taken, scores[name] = run()
            seconds[name].append(taken)
        for name in ways:
            np.testing.assert_allclose(scores[name], scores["FrozenEstimator"], atol=1e-3, err_msg=name)
    medians = {name: round(statistics.median(values), 2) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"{value:8.2f} s  {name}")
    report = {"texts": N_TEXTS, "fits": 25, "seconds": medians, "repeats": REPEATS, "machine": describe_machine("cpu")}
    write_results(arguments.output, report)


if __name__ == "__main__":
    main()
