"""Counted and factorised word vectors against trained ones: how good are they, and how much sooner are they there.

Run ``python benchmarks/bench_word_vectors.py FOLDER``, where FOLDER holds ``wiki_en_sample``, ``wordsim`` and the
labelled sets (see datasets/). WordVectorEncoder and gensim's Word2Vec (skip-gram, 5 negative samples, 5 epochs) learn
from the same text with the same tokens, 300 dimensions, window 5, min_count 5, on as many threads as there are cores.
Quality is Spearman's correlation with human similarity scores, and 3CosAdd accuracy on Google's analogies; pairs and
questions with a word that is not in the (common) vocabulary are left out. Then rows of both kinds of vectors, pooled
in the same way (and of those continued on the unlabelled training texts of the task), go to scikit-learn's
LogisticRegression with few labels (C of 1, 10, 100 by 4 folds of the drawn labels; mean of 4 draws). The default
smoothing and eigenvalue weight follow the literature and were checked on these similarity sets; the number of steps
towards the eigenvectors was chosen on them.
"""

import copy
import csv
import gzip
import json
import os
import platform
import re
import statistics
import sys
import time
from pathlib import Path

import gensim
import numpy as np
import scipy
import sklearn
from gensim.models import Word2Vec
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

import transferkit
from transferkit import WordVectorEncoder

RESULTS = Path(__file__).parent / "results" / "bench_word_vectors.json"
SIMILARITY = ("wordsim353", "simlex999", "men3000", "mturk771", "rarewords")
TASKS = ("ag_news_subset", "sst2", "trec")
DRAWS, PER_CLASS, FREQUENT = 4, (8, 64), 30_000
N_THREADS = os.cpu_count()


def read_csv(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_corpus(folder):
    with gzip.open(folder / "wiki_en_sample/wiki_en_sample.txt.gz", "rt", encoding="utf-8", newline="\n") as file:
        return file.read().rstrip("\n").split("\n")


def train_gensim(texts):
    pattern = re.compile(WordVectorEncoder().token_pattern)
    sentences = [pattern.findall(text.lower()) for text in texts]
    return Word2Vec(
        sentences, vector_size=300, window=5, min_count=5, sg=1, negative=5, epochs=5, workers=N_THREADS, seed=0
    )


def similarity_scores(encoder, folder):
    scores, words = {}, encoder.vocabulary_.keys()
    for name in SIMILARITY:
        known = [
            (encoder.similarity(row["word1"].lower(), row["word2"].lower()), float(row["score"]))
            for row in read_csv(folder / f"wordsim/{name}.csv.gz")
            if {row["word1"].lower(), row["word2"].lower()} <= words
        ]
        scores[name] = round(float(spearmanr(*zip(*known, strict=True))[0]), 4)
        scores[f"{name} pairs"] = len(known)
    scores["mean"] = round(statistics.mean(scores[name] for name in SIMILARITY), 4)
    return scores


def analogy_accuracy(encoder, folder):
    vectors = encoder.vectors_[:FREQUENT] / np.linalg.norm(encoder.vectors_[:FREQUENT], axis=1, keepdims=True)
    row = {word: k for word, k in encoder.vocabulary_.items() if k < FREQUENT}
    with gzip.open(folder / "wordsim/questions-words.txt.gz", "rt", encoding="utf-8") as file:
        lines = [line.lower().split() for line in file if not line.startswith(":")]
    questions = np.array([[row[word] for word in line] for line in lines if set(line) <= row.keys()])
    right = 0
    for block in np.array_split(questions, len(questions) // 500 + 1):
        a, b, c, answer = block.T
        cosines = (vectors[b] - vectors[a] + vectors[c]) @ vectors.T
        np.put_along_axis(cosines, block[:, :3], -np.inf, axis=1)
        right += int((cosines.argmax(axis=1) == answer).sum())
    return {"accuracy": round(right / len(questions), 4), "questions": len(questions)}


def few_label_accuracy(encoder, task, folder, continued=False):
    """Return the accuracy of a linear model on pooled rows, for each number of labels a class."""
    sides = [read_csv(folder / task / f"{side}.csv.gz") for side in ("train", "test")]
    (train, y), (test, y_test) = (([r["text"] for r in rows], np.array([r["label"] for r in rows])) for rows in sides)
    encoder = copy.copy(encoder)
    if continued:
        encoder.continue_fit(train)
    encoder.adapt_idf(train)
    X, X_test = encoder.transform(train), encoder.transform(test)
    accuracy = {}
    for per_class in PER_CLASS:
        rng = np.random.default_rng(0)
        draws = []
        for _ in range(DRAWS):
            chosen = np.concatenate(
                [rng.choice(np.flatnonzero(y == c), per_class, replace=False) for c in np.unique(y)]
            )
            search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [1, 10, 100]}, cv=4)
            draws.append(search.fit(X[chosen], y[chosen]).score(X_test, y_test))
        accuracy[str(per_class)] = round(100 * float(np.mean(draws)), 1)
    return accuracy


def train_both(texts):
    """Return both kinds of vectors, and the seconds that they took; ours are timed before and after the rival's."""
    seconds = {"WordVectorEncoder": [], "gensim Word2Vec": []}
    for rival_is_next in (True, False):
        start = time.perf_counter()
        ours = WordVectorEncoder(n_jobs=N_THREADS).fit(texts)
        seconds["WordVectorEncoder"].append(round(time.perf_counter() - start, 1))
        if rival_is_next:
            start = time.perf_counter()
            model = train_gensim(texts)
            seconds["gensim Word2Vec"].append(round(time.perf_counter() - start, 1))
    return {"WordVectorEncoder": ours, "gensim Word2Vec": WordVectorEncoder.from_gensim(model)}, seconds


def main(folder):
    texts = read_corpus(folder)
    encoders, seconds = train_both(texts)
    ours, rival = encoders.values()
    assert set(ours.vocabulary_) == set(rival.vocabulary_), "the rivals must know the same words"
    medians = [statistics.median(values) for values in seconds.values()]
    report = {"words": len(ours.vocabulary_), "times faster": round(medians[1] / medians[0], 1)}
    report["machine"] = {"processor": platform.machine(), "cores": N_THREADS, "python": platform.python_version()}
    report["machine"] |= {p.__name__: p.__version__ for p in (transferkit, gensim, np, scipy, sklearn)}
    for name, encoder in encoders.items():
        quality = {"similarity": similarity_scores(encoder, folder), "analogies": analogy_accuracy(encoder, folder)}
        report[name] = {"seconds": seconds[name], **quality}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    keeps_counts = WordVectorEncoder(n_jobs=N_THREADS).partial_fit(texts)
    for task in TASKS:
        few = report.setdefault("accuracy with few labels", {})[task] = {
            name: few_label_accuracy(encoder, task, folder) for name, encoder in encoders.items()
        }
        few["WordVectorEncoder, continued"] = few_label_accuracy(keeps_counts, task, folder, continued=True)
        RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
