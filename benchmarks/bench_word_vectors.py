"""Measure the quality and the training time of word vectors: factorised, trained by gradient steps, and gensim's.

Run ``python benchmarks/bench_word_vectors.py --data FOLDER``, where FOLDER holds ``wiki_en_sample``, ``wordsim`` and
the labelled sets (see datasets/). ``--device cuda`` trains on a GPU, ``--skip-gensim`` leaves the rival out,
``--methods``, ``--skip-tasks`` and ``--rounds`` make it shorter. Without ``--data`` the texts are docstrings, and only
time is measured. WordVectorEncoder by each method and gensim's Word2Vec (skip-gram, 5 negative samples, 5 epochs) are
trained on the same text with the same tokens, 300 dimensions, window 5, min_count 5, on as many threads as there are
cores; seconds are from the texts to the vectors.

Quality is Spearman's correlation with human similarity scores, and 3CosAdd accuracy on Google's analogies; pairs and
questions with a word that is not in the (common) vocabulary are left out. "rarewords, all pairs" leaves none out:
without subwords a pair with an unknown word has a similarity of 0. Then rows of each kind of vectors, pooled in the
same way (and of those continued on the unlabelled training texts of the task), go to scikit-learn's
LogisticRegression with few labels (C of 1, 10, 100 by 4 folds of the drawn labels; mean of 4 draws, the same for
all). The defaults of smoothing and eigenvalue weight follow the literature and were checked on these similarity
sets; the number of steps towards the eigenvectors and the settings of training were chosen on them.
"""

import argparse
import copy
import csv
import gzip
import json
import os
import re
import statistics
from pathlib import Path

import numpy as np
from data import draw_per_class, read_labelled, read_wiki
from results import RESULTS, choose_output, describe_machine, write_results
from rivals import is_installed, train_word2vec
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from timing import alternate, timed

from transferkit import WordVectorEncoder
from transferkit.datasets import load_docstrings

SIMILARITY = ("wordsim353", "simlex999", "men3000", "mturk771", "rarewords")
TASKS = ("ag_news_subset", "sst2", "trec")
DRAWS, PER_CLASS, FREQUENT = 4, (8, 64), 30_000
N_THREADS = os.cpu_count()
RIVAL = "gensim Word2Vec"
METHODS = ("ppmi-svd", "glove", "sgns")


def read_pairs(folder, name):
    with gzip.open(folder / f"wordsim/{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return [(row["word1"].lower(), row["word2"].lower(), float(row["score"])) for row in csv.DictReader(file)]


def similarity_scores(encoder, folder):
    scores, words = {}, encoder.vocabulary_.keys()
    for name in SIMILARITY:
        known = [(encoder.similarity(a, b), score) for a, b, score in read_pairs(folder, name) if {a, b} <= words]
        scores[name] = round(float(spearmanr(*zip(*known, strict=True))[0]), 4)
        scores[f"{name} pairs"] = len(known)
    scores["mean"] = round(statistics.mean(scores[name] for name in SIMILARITY), 4)
    return scores


def rare_word_score(encoder, folder):
    """Return Spearman's correlation on all pairs of rare words, pairs that get no similarity counting as 0."""

    def similarity(a, b):
        try:
            return encoder.similarity(a, b)
        except KeyError:
            return 0.0

    known = [(similarity(a, b), score) for a, b, score in read_pairs(folder, "rarewords")]
    return {"spearman": round(float(spearmanr(*zip(*known, strict=True))[0]), 4), "pairs": len(known)}


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
    """Return the accuracy of a linear model on pooled rows, for each number of labels per class."""
    (train, y), (test, y_test) = (read_labelled(folder, task, part) for part in ("train", "test"))
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
            chosen = draw_per_class(y, per_class, rng)
            search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [1, 10, 100]}, cv=4)
            draws.append(search.fit(X[chosen], y[chosen]).score(X_test, y_test))
        accuracy[str(per_class)] = round(100 * float(np.mean(draws)), 1)
    return accuracy


def train_all(texts, methods, device, n_rounds, with_gensim):
    """Return each kind of vectors, and the seconds that they took, one after the other in each round."""
    tokenise = re.compile(WordVectorEncoder().token_pattern).findall
    makers = {
        method: lambda method=method: WordVectorEncoder(method=method, device=device, n_jobs=N_THREADS).fit(texts)
        for method in methods
    }
    if with_gensim:
        makers[RIVAL] = lambda: WordVectorEncoder.from_gensim(train_word2vec(texts, tokenise, min_count=5))
    encoders, seconds = {}, {}
    for name, encoders[name], taken in alternate(makers, n_rounds):
        seconds.setdefault(name, []).append(round(taken, 2))
        print(name, seconds[name][-1], "s", flush=True)
    return encoders, seconds


def start_cuda(device):
    """Start CUDA if it is used, so that no measurement includes it."""
    import torch

    torch.ones(1, device=device)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--device", default="cpu", help="where vectors are trained (default: %(default)s)")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--rounds", type=int, default=2, help="how often each is timed (default: %(default)s)")
    parser.add_argument("--skip-gensim", action="store_true", help="leave the rival out")
    parser.add_argument("--skip-tasks", action="store_true", help="leave the tasks with few labels out")
    parser.add_argument("--output", type=Path, help="file of the results (default: results/bench_word_vectors.json)")
    return parser.parse_args()


def main(arguments):
    folder = arguments.data
    on_gpu = arguments.device not in ("auto", "cpu")
    kept = RESULTS / f"bench_word_vectors{'_gpu' if on_gpu else ''}.json"
    output = choose_output(arguments.output or kept, kept, folder is None)
    texts = read_wiki(folder) if folder else load_docstrings().data
    report = {"machine": describe_machine(arguments.device)}
    if on_gpu:
        start_cuda(arguments.device)
    with_gensim = not arguments.skip_gensim and is_installed("gensim")
    encoders, seconds = train_all(texts, arguments.methods, arguments.device, arguments.rounds, with_gensim)
    ours = next(iter(encoders.values()))
    report["words"] = len(ours.vocabulary_)
    for name, encoder in encoders.items():
        assert set(ours.vocabulary_) == set(encoder.vocabulary_), "the rivals must have the same vocabulary"
        report[name] = {"seconds": seconds[name]}
        if with_gensim and name != RIVAL:
            ratio = statistics.median(seconds[RIVAL]) / statistics.median(seconds[name])
            report[name][f"times faster than {RIVAL}"] = round(ratio, 1)
        if folder:
            report[name]["similarity"] = similarity_scores(encoder, folder)
            report[name]["analogies"] = analogy_accuracy(encoder, folder)
        write_results(output, report)
    if folder:
        spelling = WordVectorEncoder(subword=True, device=arguments.device, n_jobs=N_THREADS)
        spelled, took = timed(lambda: spelling.fit(texts))
        report["rarewords, all pairs"] = {name: rare_word_score(encoder, folder) for name, encoder in encoders.items()}
        report["rarewords, all pairs"]["ppmi-svd, subword=True"] = {
            **rare_word_score(spelled, folder),
            "seconds": round(took, 2),
        }
        write_results(output, report)
    if folder and not arguments.skip_tasks:
        keeps_counts = WordVectorEncoder(n_jobs=N_THREADS).partial_fit(texts)
        for task in TASKS:
            few = report.setdefault("accuracy with few labels", {})[task] = {
                name: few_label_accuracy(encoder, task, folder) for name, encoder in encoders.items()
            }
            few["ppmi-svd, continued"] = few_label_accuracy(keeps_counts, task, folder, continued=True)
            write_results(output, report)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(parse_arguments())
