"""Time TfidfEncoder against scikit-learn's TfidfVectorizer, at equal results.

Run ``python benchmarks/bench_text.py --corpus 20newsgroups --folder FOLDER`` (scikit-learn's data home, nothing is
downloaded), ``--corpus docstrings`` (needs no download), or ``--stream FILE`` (one text per line). With ``--case LSA``,
LSAEncoder is timed against TfidfVectorizer and TruncatedSVD (randomised with its defaults and with two iterations, and
ARPACK), on 4,000 texts with 128 components, and the share of the rows' energy that each captures is reported. Each run
of the other cases first checks that vocabulary and matrix are equal, then times both in alternation with float32 rows;
every run adds its medians to ``benchmarks/results/bench_text.json``, or to ``--output``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from data import read_newsgroups
from results import RESULTS, describe_machine, read_results, write_results
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits
from timing import alternate, forget_peak, peak_mb, time_alternating

from transferkit import LSAEncoder, TfidfEncoder
from transferkit.datasets import load_corpus, load_docstrings

CASES = {
    "words": {},
    "word 1-2-grams": {"ngram_range": (1, 2)},
    "char_wb 3-5-grams": {"analyzer": "char_wb", "ngram_range": (3, 5)},
}
REPEATS = {"words": 5, "word 1-2-grams": 3, "char_wb 3-5-grams": 2}
LSA_COMPONENTS, LSA_TEXTS = 128, 4000
LSA_RIVALS = {
    "transferkit": None,
    "TruncatedSVD": {},
    "TruncatedSVD(n_iter=2)": {"n_iter": 2},
    "TruncatedSVD(algorithm='arpack')": {"algorithm": "arpack"},
}
RIVALS = {
    "scikit-learn": lambda parameters: TfidfVectorizer(dtype=np.float32, **parameters),
    "transferkit, 1 thread": lambda parameters: TfidfEncoder(n_jobs=1, **parameters),
    "transferkit, 2 threads": lambda parameters: TfidfEncoder(n_jobs=2, **parameters),
}
SHORT_TEXT = ["The GPU in my computer cannot render this picture, is there a driver for Windows?"]


def load(corpus, folder):
    if corpus == "docstrings":
        return load_docstrings().data
    return read_newsgroups(folder, "train")[0]


def check_equal(texts, parameters):
    """Raise unless both give the same terms in the same columns and rows; return both, fitted."""
    theirs, ours = RIVALS["scikit-learn"](parameters), RIVALS["transferkit, 2 threads"](parameters)
    expected, rows = theirs.fit_transform(texts), ours.fit_transform(texts)
    expected.sort_indices()
    assert ours.get_feature_names_out().tolist() == theirs.get_feature_names_out().tolist()
    np.testing.assert_array_equal(rows.indptr, expected.indptr)
    np.testing.assert_array_equal(rows.indices, expected.indices)
    np.testing.assert_allclose(rows.data, expected.data, rtol=1e-6)
    return theirs, ours


def time_fit_transform(texts, parameters, repeats):
    """Return wall and processor seconds (medians of alternating runs) of each rival."""

    def fit(make):
        start = time.process_time()
        make(parameters).fit_transform(texts)
        return time.process_time() - start

    wall, processor = {name: [] for name in RIVALS}, {name: [] for name in RIVALS}
    for name, used, seconds in alternate({name: partial(fit, make) for name, make in RIVALS.items()}, repeats):
        wall[name].append(seconds)
        processor[name].append(used)
    return {name: {"seconds": median(wall[name]), "processor_seconds": median(processor[name])} for name in RIVALS}


def time_short_text(theirs, ours, repeats=300):
    """Return microseconds for one short text, and check the rows."""
    np.testing.assert_allclose(ours.transform(SHORT_TEXT).toarray(), theirs.transform(SHORT_TEXT).toarray(), rtol=1e-6)
    models = {"scikit-learn": theirs, "transferkit": ours}
    seconds, _ = time_alternating({name: lambda m=m: m.transform(SHORT_TEXT) for name, m in models.items()}, repeats)
    return {name: round(1e6 * value, 3) for name, value in seconds.items()}


def median(values):
    return round(statistics.median(values), 3)


def measure_memory(arguments):
    """Return the peak MB of each rival beyond the input, measured in separate processes."""
    peaks = {}
    for name in RIVALS:
        command = [sys.executable, __file__, *arguments, "--child", name]
        peaks[name] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return peaks


def run_child(options):
    """Print by how many MB a fit increases the peak of a process that already holds the input."""
    if options.stream:
        texts = load_corpus(options.stream)
        forget_peak()
        before = peak_mb()
        TfidfEncoder(n_jobs=2).fit(text for _ in range(options.times) for text in texts)
    else:
        texts = load(options.corpus, options.folder)
        TfidfVectorizer().fit(texts[:10])  # lazy imports
        TfidfEncoder().fit(texts[:10])
        forget_peak()
        before = peak_mb()
        rows = RIVALS[options.child](CASES[options.case]).fit_transform(texts)
        assert rows.nnz
    print(round(peak_mb() - before, 1))


def measure_stream(options):
    """Return peak MB of fitting a generator, for the corpus once and ten times."""
    peaks = {}
    for times in (1, 10):
        command = [sys.executable, __file__, "--stream", options.stream, "--times", str(times), "--child", "stream"]
        peaks[f"{times} x corpus"] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"peak_mb_beyond_input": peaks}


def make_lsa(name, n_jobs):
    """Return an unfitted encoder."""
    if name == "transferkit":
        return LSAEncoder(LSA_COMPONENTS, n_jobs=n_jobs)
    tfidf = TfidfVectorizer(dtype=np.float32, min_df=2, sublinear_tf=True)
    return make_pipeline(tfidf, TruncatedSVD(LSA_COMPONENTS, random_state=0, **LSA_RIVALS[name]))


def measure_lsa(options):
    """Return seconds of fitting, and the share of the squared entries of the TF-IDF rows that the vectors capture."""
    texts = load(options.corpus, options.folder)[:LSA_TEXTS]
    rows = TfidfEncoder(min_df=2, sublinear_tf=True).fit_transform(texts)
    result = {"texts": len(texts), "terms": rows.shape[1], "components": LSA_COMPONENTS}
    for threads in (1, os.cpu_count()):
        makers = {name: lambda name=name, n=threads: make_lsa(name, n).fit(texts) for name in LSA_RIVALS}
        with threadpool_limits(threads):
            seconds, encoders = time_alternating(makers, options.repeats or 5)
        result["fit, 1 thread" if threads == 1 else "fit"] = {
            name: {
                "seconds": round(seconds[name], 3),
                "captured_energy": round(captured_energy(rows, encoder), 4),
                "times_slower": round(seconds[name] / seconds["transferkit"], 2),
            }
            for name, encoder in encoders.items()
        }
    return result


def captured_energy(rows, encoder):
    components = encoder.components_ if isinstance(encoder, LSAEncoder) else encoder[-1].components_
    basis = np.linalg.qr(components.T)[0]
    return float(np.square(rows @ basis).sum() / np.square(rows.data).sum())


def measure_case(options):
    texts, parameters = load(options.corpus, options.folder), CASES[options.case]
    theirs, ours = check_equal(texts, parameters)
    result = {
        "texts": len(texts),
        "megabytes": round(sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / 1e6, 1),
        "terms": len(ours.idf_),
        "equal": True,
    }
    if options.case == "words":
        result["one_short_text_microseconds"] = time_short_text(theirs, ours)
    del theirs, ours
    result["fit_transform"] = time_fit_transform(texts, parameters, options.repeats or REPEATS[options.case])
    reference = result["fit_transform"]["scikit-learn"]
    for name in RIVALS:
        row = result["fit_transform"][name]
        row["times_faster"] = round(reference["seconds"] / row["seconds"], 1)
        row["times_less_processor"] = round(reference["processor_seconds"] / row["processor_seconds"], 1)
    arguments = ["--corpus", options.corpus, "--case", options.case]
    arguments += ["--folder", options.folder] if options.folder else []
    result["peak_mb_beyond_input"] = measure_memory(arguments)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", choices=["20newsgroups", "docstrings"])
    parser.add_argument("--folder")
    parser.add_argument("--case", choices=[*CASES, "LSA"], default="words")
    parser.add_argument("--stream")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--output", type=Path, default=RESULTS / "bench_text.json")
    parser.add_argument("--child")
    options = parser.parse_args()
    if options.child:
        run_child(options)
        return
    if options.stream:
        result = measure_stream(options)
    else:
        result = measure_lsa(options) if options.case == "LSA" else measure_case(options)
    result["load_of_machine"] = [round(load, 1) for load in os.getloadavg()]
    results = read_results(options.output)
    results["machine"] = describe_machine("cpu")
    key = "stream" if options.stream else f"{options.corpus}, {options.case}"
    results[key] = result
    write_results(options.output, results)
    print(json.dumps({key: result}, indent=2))


if __name__ == "__main__":
    main()
