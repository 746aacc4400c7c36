"""Measure the quality and the time of word vectors: WordVectorEncoder, gensim, fastText, and SciPy with scikit-learn.

Run ``OMP_NUM_THREADS=1 python benchmarks/bench_word_vectors.py --data FOLDER [--kinds NAME ...] [--seconds 900]``,
where FOLDER holds ``wiki_en_sample``, ``wordsim`` and the labelled sets (see datasets/). All are trained on the same
text with the same tokens, 300 dimensions, window 5, min_count 5; seconds are from the texts to the vectors, once. With
``--threads N``, and OMP_NUM_THREADS set to N, it measures wall time on that many threads. ``--device cuda`` trains on a
GPU. Without ``--data`` the texts are docstrings, and only time is measured.

The kinds of vectors:

- factorised, GloVe, skip-gram: WordVectorEncoder by its three methods, with its defaults;
- subwords: WordVectorEncoder(subword=True), factorised;
- gensim: Word2Vec (skip-gram, 5 negative samples) from a file, with the numbers of epochs and thresholds of subsampling
  ``sample`` of GENSIM, of which the best mean similarity is called tuned; gensim's defaults are 5 and 1e-3;
- fastText: its skip-gram with subwords (``train_unsupervised``), 5 epochs, its default; 5 negative samples;
- SciPy, ARPACK: counts by NumPy and SciPy and scikit-learn's TruncatedSVD (rivals.factorise_ppmi).

Quality is Spearman's correlation with human similarity scores, and 3CosAdd accuracy on Google's analogies; pairs and
questions with a word that is not in the (common) vocabulary are left out. "rarewords, all pairs" leaves none out:
without subwords a pair with an unknown word has a similarity of 0. "8 labels" is the accuracy of few labels by the
protocol of bench_mteb.py on the pooled vectors. The defaults of smoothing and eigenvalue weight of WordVectorEncoder
follow the literature and were checked on these similarity sets; the number of steps towards the eigenvectors and the
settings of training were chosen on them, and gensim's are chosen on them here.

Parts are stored as they are measured, so that the script may be stopped and started again.
"""

import argparse
import csv
import gzip
import os
import re
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np
from bench_mteb import find_accuracies, read_parts
from data import read_wiki
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from rivals import factorise_ppmi, is_installed, train_fasttext, train_word2vec
from scipy.stats import spearmanr

from transferkit import WordVectorEncoder
from transferkit.datasets import load_docstrings

SIMILARITY = ("wordsim353", "simlex999", "men3000", "mturk771", "rarewords")
TASKS = ("ag_news_subset", "sst2", "trec")
FREQUENT, MIN_COUNT = 30_000, 5
GENSIM = ((5, 1e-3), (5, 1e-4), (10, 1e-4), (20, 1e-4))
GENSIM_KINDS = {f"gensim, epochs={epochs}, sample={sample:g}": (epochs, sample) for epochs, sample in GENSIM}
OURS = {
    "factorised": {"method": "ppmi-svd"},
    "GloVe": {"method": "glove"},
    "skip-gram": {"method": "sgns"},
    "subwords": {"subword": True},
}
SCIPY, FASTTEXT = "SciPy, ARPACK", "fastText, 5 epochs"
KINDS = (*OURS, SCIPY, *GENSIM_KINDS, FASTTEXT)


def train(kind, texts, n_threads, device):
    """Return an encoder with the vectors, and a function that embeds unknown words, None unless it is fastText's."""
    if kind in OURS:
        return WordVectorEncoder(**OURS[kind], device=device, n_jobs=n_threads).fit(texts), None
    tokenise = re.compile(WordVectorEncoder().token_pattern).findall
    embed = None
    if kind == SCIPY:
        found = factorise_ppmi(texts, tokenise, MIN_COUNT)
    elif kind == FASTTEXT:
        found, embed = train_fasttext(texts, tokenise, MIN_COUNT, n_threads=n_threads)
    else:
        epochs, sample = GENSIM_KINDS[kind]
        found = train_word2vec(texts, tokenise, MIN_COUNT, epochs=epochs, sample=sample, n_threads=n_threads)
    return WordVectorEncoder.from_gensim(found), embed


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


def rare_word_score(encoder, embed, folder):
    """Return Spearman's correlation on all pairs of rare words, pairs that get no similarity counting as 0."""

    def similarity(a, b):
        if embed is not None:
            first, second = embed(a), embed(b)
            return first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-12)
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


def few_label_accuracy(encoder, task, folder):
    """Return the mean accuracy of few labels on pooled vectors that are weighted by the texts of the task."""
    texts, labels, test, truth = read_parts(folder, task)
    encoder.adapt_idf(texts)
    return round(float(np.mean(find_accuracies(encoder, texts, labels, encoder.transform(test), truth))), 2)


def find_quality(encoder, embed, folder):
    return {
        "words": len(encoder.vocabulary_),
        "similarity": similarity_scores(encoder, folder),
        "analogies": analogy_accuracy(encoder, folder),
        "rarewords, all pairs": rare_word_score(encoder, embed, folder),
        "8 labels": {task: few_label_accuracy(encoder, task, folder) for task in TASKS},
    }


def measure(make, n_threads, folder):
    """Return seconds of all threads together on one thread, or wall time on several; and the quality of the vectors."""
    clock = time.process_time if n_threads == 1 else time.perf_counter
    start = clock()
    encoder, embed = make()
    taken = round(clock() - start, 2)
    found = {"processor seconds" if n_threads == 1 else f"seconds on {n_threads} threads": taken}
    return found | ({} if folder is None else find_quality(encoder, embed, folder))


def find_tuned(parts):
    """Return the part of gensim with the best mean similarity, with its name."""
    found = [part | {"kind": kind} for kind, part in parts.items() if kind in GENSIM_KINDS and "similarity" in part]
    return max(found, key=lambda part: part["similarity"]["mean"]) if found else None


def start_cuda(device):
    """Start CUDA if it is used, so that no measurement includes it."""
    import torch

    torch.ones(1, device=device)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--device", default="cpu", help="where vectors are trained (default: %(default)s)")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=np.inf, help="begin nothing new after so long")
    parser.add_argument("--output", type=Path, help="file of the results (default: results/bench_word_vectors.json)")
    return parser.parse_args()


def main(arguments):
    folder, device = arguments.data, arguments.device
    on_gpu = device not in ("auto", "cpu")
    kept = RESULTS / f"bench_word_vectors{'_gpu' if on_gpu else ''}.json"
    output = choose_output(arguments.output or kept, kept, folder is None)
    texts = read_wiki(folder) if folder else load_docstrings().data
    machine, parts = describe_machine(device), read_results(output).get("parts", {})
    missing_packages = {name for name in ("gensim", "fasttext") if not is_installed(name)}
    if on_gpu:
        start_cuda(device)
    field = "processor seconds" if arguments.threads == 1 else f"seconds on {arguments.threads} threads"
    began = time.monotonic()
    for kind in arguments.kinds:
        if field in parts.get(kind, {}) or kind.partition(",")[0].lower() in missing_packages:
            continue
        if time.monotonic() - began > arguments.seconds:
            return
        found = measure(partial(train, kind, texts, arguments.threads, device), arguments.threads, folder)
        parts[kind] = found | parts.get(kind, {}) | {f"commit of {field}": machine["commit"]}
        print(kind, parts[kind], flush=True)
        commits = {value for part in parts.values() for key, value in part.items() if key.startswith("commit")}
        described = machine | {"load": os.getloadavg(), "commit": ", ".join(sorted(commits))}
        results = {"machine": described, "gensim, tuned": find_tuned(parts), "parts": parts}
        write_results(output, results)


if __name__ == "__main__":
    main(parse_arguments())
