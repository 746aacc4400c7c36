"""Time TfidfEncoder and LSAEncoder against scikit-learn, at equal results.

Run ``python benchmarks/bench_text.py FOLDER`` (FOLDER holds 20 Newsgroups; nothing is downloaded) or ``--quick`` (the
docstrings, which every machine has). TF-IDF of words, of words and pairs, and of n-grams of characters: TfidfEncoder
with one thread and with all, after checking that vocabulary and matrix are those of TfidfVectorizer, which has a single
thread. The other rival is HashingVectorizer followed by TfidfTransformer, which knows no terms and so can be neither
inspected nor explained; with all threads, processes of joblib hash parts of the texts. LSA of 4,000 texts with 128
components: LSAEncoder against TfidfVectorizer and TruncatedSVD (randomised with its defaults and with two iterations,
and ARPACK), with the share of the rows' squared entries that each captures. All rows are float32. Rivals alternate, and
times are medians in seconds of the clock and of the processor. Results go to results/bench_text.json or PATH.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from data import read_newsgroups
from joblib import Parallel, delayed
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits
from timing import time_both

from transferkit import LSAEncoder, TfidfEncoder
from transferkit.datasets import load_docstrings

KEPT = RESULTS / "bench_text.json"
CASES = {
    "words": {},
    "word 1-2-grams": {"ngram_range": (1, 2)},
    "char_wb 3-5-grams": {"analyzer": "char_wb", "ngram_range": (3, 5)},
}
LSA_COMPONENTS, LSA_TEXTS = 128, 4000
SVDS = {
    "TruncatedSVD": {},
    "TruncatedSVD(n_iter=2)": {"n_iter": 2},
    "TruncatedSVD(algorithm='arpack')": {"algorithm": "arpack"},
}


def read_texts(corpus, folder):
    """Return the texts of a corpus."""
    return load_docstrings().data if corpus == "docstrings" else read_newsgroups(folder / "20newsgroups", "train")[0]


def check_equal(texts, parameters):
    """Raise unless both give the same terms in the same columns and rows; return the number of terms."""
    theirs, ours = TfidfVectorizer(dtype=np.float32, **parameters), TfidfEncoder(n_jobs=os.cpu_count(), **parameters)
    expected, rows = theirs.fit_transform(texts), ours.fit_transform(texts)
    expected.sort_indices()
    assert ours.get_feature_names_out().tolist() == theirs.get_feature_names_out().tolist()
    np.testing.assert_array_equal(rows.indptr, expected.indptr)
    np.testing.assert_array_equal(rows.indices, expected.indices)
    np.testing.assert_allclose(rows.data, expected.data, rtol=1e-6)
    return len(ours.idf_)


def fit_hashed(texts, parameters, n_jobs):
    """Return TF-IDF rows of hashed terms; processes of joblib hash parts of the texts."""
    hasher = HashingVectorizer(norm=None, alternate_sign=False, dtype=np.float32, **parameters)
    if n_jobs == 1:
        counts = hasher.transform(texts)
    else:
        parts = [part.tolist() for part in np.array_split(np.array(texts, dtype=object), 4 * n_jobs)]
        counts = sp.vstack(Parallel(n_jobs)(delayed(hasher.transform)(part) for part in parts))
    return TfidfTransformer().fit_transform(counts)


def measure_terms(texts, parameters, runs):
    """Return times of fitting and transforming, with one thread and with all."""
    result = {"texts": len(texts), "terms": check_equal(texts, parameters), "equal": True}
    for setting, n_jobs in {"one thread": 1, "all threads": os.cpu_count()}.items():
        makers = {
            "TfidfEncoder": lambda n=n_jobs: TfidfEncoder(n_jobs=n, **parameters).fit_transform(texts),
            "TfidfVectorizer": lambda: TfidfVectorizer(dtype=np.float32, **parameters).fit_transform(texts),
            "HashingVectorizer": lambda n=n_jobs: fit_hashed(texts, parameters, n),
        }
        makers["HashingVectorizer"]()  # starts the processes
        result[setting], _ = time_both(makers, runs)
    return result


def make_lsa(name, n_jobs):
    """Return an unfitted encoder."""
    if name == "LSAEncoder":
        return LSAEncoder(LSA_COMPONENTS, n_jobs=n_jobs)
    tfidf = TfidfVectorizer(dtype=np.float32, min_df=2, sublinear_tf=True)
    return make_pipeline(tfidf, TruncatedSVD(LSA_COMPONENTS, random_state=0, **SVDS[name]))


def measure_lsa(texts, runs):
    """Return times of fitting, and the share of the squared entries of the TF-IDF rows that the vectors capture."""
    rows = TfidfEncoder(min_df=2, sublinear_tf=True).fit_transform(texts)
    result = {"texts": len(texts), "terms": rows.shape[1], "components": LSA_COMPONENTS}
    for setting, n_jobs in {"one thread": 1, "all threads": os.cpu_count()}.items():
        makers = {name: lambda name=name, n=n_jobs: make_lsa(name, n).fit(texts) for name in ("LSAEncoder", *SVDS)}
        with threadpool_limits(n_jobs):
            result[setting], encoders = time_both(makers, runs)
        result[setting]["captured_energy"] = {name: capture_energy(rows, model) for name, model in encoders.items()}
    return result


def capture_energy(rows, encoder):
    """Return which share of the squared entries lies in the span of the components."""
    components = encoder.components_ if isinstance(encoder, LSAEncoder) else encoder[-1].components_
    basis = np.linalg.qr(components.T)[0]
    return float(np.square(rows @ basis).sum() / np.square(rows.data).sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="docstrings alone")
    parser.add_argument("--cases", nargs="+", choices=[*CASES, "LSA"], default=[*CASES, "LSA"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output", type=Path, default=KEPT)
    options = parser.parse_args()
    path = choose_output(options.output, KEPT, options.quick)
    for corpus in ["docstrings"] if options.quick else ["20newsgroups", "docstrings"]:
        texts = read_texts(corpus, options.folder)
        for case in options.cases:
            if corpus == "docstrings" and case not in ("words", "LSA"):
                continue
            if case == "LSA":
                found = measure_lsa(texts[:LSA_TEXTS], options.runs)
            else:
                found = measure_terms(texts, CASES[case], options.runs)
            results = read_results(path) | {f"{corpus}, {case}": found, "machine": describe_machine("cpu")}
            write_results(path, results)
            print(json.dumps({f"{corpus}, {case}": found}, indent=1), flush=True)


if __name__ == "__main__":
    main()
