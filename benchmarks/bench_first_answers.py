"""Measure the first answers of a text model: a first batch after loading, different short texts, a new process.

Run ``python benchmarks/bench_first_answers.py FOLDER`` (FOLDER holds 20 Newsgroups as scikit-learn caches it; see
datasets/). The model is that of bench_serving.py; its rival are the same weights in scikit-learn's own classes, pickled
with protocol 5, in float64 as scikit-learn's fit leaves them and in float32. Every run is a process of its own with one
thread, and rivals alternate. All times are processor times, because other work on the machine does not change them;
those of a new process include its start. What importing scikit-learn's base class takes, which every estimator needs,
is measured as well.
"""

import argparse
import json
import os
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
from bench_serving import read, train, write_files
from results import RESULTS, choose_output, describe_machine, write_results

from transferkit import load, to_sklearn

KEPT = RESULTS / "bench_first_answers.json"
RUNS = 5
N_FIRST, N_WARM, N_STREAM, N_WORDS = 100, 200, 2000, 20
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
FILES = {
    "transferkit": "model.tk",
    "pickle": "model.pkl",
    "pickle, float32": "float32.pkl",
    "joblib": "model.joblib",
}
PROCESSES = {
    "transferkit": "import sys, transferkit; model = transferkit.load(sys.argv[1]); model.predict_proba(sys.argv[2:])",
    "pickle": "import sys, pickle; model = pickle.load(open(sys.argv[1], 'rb')); model.predict_proba(sys.argv[2:])",
    "joblib": "import sys, joblib; model = joblib.load(sys.argv[1]); model.predict_proba(sys.argv[2:])",
    "import sklearn.base alone": "import sklearn.base",
}


def read_model(path):
    """Return the model in a file of any of the kinds."""
    if path.suffix == ".tk":
        return load(path)
    return joblib.load(path) if path.suffix == ".joblib" else pickle.loads(path.read_bytes())


def time_first_batch(path, batch, short):
    """Return processor seconds of loading the model, and of this and a first batch of predictions."""
    read_model(path).predict_proba(short[:1])  # imports modules, and reads the file
    start = time.process_time()
    model = read_model(path)
    loaded = time.process_time()
    model.predict_proba(batch)
    return {"load": loaded - start, "load and first batch": time.process_time() - start}


def time_stream(path, batch, short):
    """Return processor seconds per short text, of features and of predictions, one call per text."""
    model, seconds = read_model(path), {}
    for name, call in (("features", model[0].transform), ("probabilities", model.predict_proba)):
        for text in short[:N_WARM]:
            call([text])
        start = time.process_time()
        for text in short[N_WARM:]:
            call([text])
        seconds[f"one text, {name}"] = (time.process_time() - start) / (len(short) - N_WARM)
        short = short[::-1]
    return seconds


MEASURES = {"batch": time_first_batch, "stream": time_stream}


def run_measure(measure, folder, name):
    """Return what a measure finds in a process of its own."""
    command = [sys.executable, __file__, str(folder), "--measure", measure, "--rival", name]
    found = subprocess.run(command, check=True, env={**os.environ, **THREADS}, stdout=subprocess.PIPE, text=True)
    return json.loads(found.stdout)


def time_process(folder, name, text):
    """Return processor seconds of a whole process: start, import, load, first answer."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", PROCESSES[name], str(folder / FILES.get(name, "")), text]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env={**environment, **THREADS})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"new process": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def prepare(model, texts, folder):
    """Write the models and the texts; return the largest difference between the rivals' probabilities."""
    write_files(model, folder)
    (folder / FILES["pickle"]).write_bytes(pickle.dumps(joblib.load(folder / FILES["joblib"]), protocol=5))
    (folder / FILES["pickle, float32"]).write_bytes(pickle.dumps(to_sklearn(model), protocol=5))
    words = [text.split() for text in texts[N_FIRST:]]
    short = list(dict.fromkeys(" ".join(text[-N_WORDS:]) for text in words if len(text) >= N_WORDS))
    (folder / "texts.json").write_text(json.dumps([texts[:N_FIRST], short[: N_WARM + N_STREAM]]))
    expected = model.predict_proba(texts[:N_FIRST])
    others = [read_model(folder / file).predict_proba(texts[:N_FIRST]) for file in FILES.values()]
    return max(float(abs(found - expected).max()) for found in others)


def measure_all(folder, text, runs):
    """Return the median seconds of each figure and rival, by figure."""
    found = {}
    for run in range(runs + 1):  # the first compiles modules, and fills the disk cache
        measured = [(name, run_measure(measure, folder, name)) for measure in MEASURES for name in FILES]
        measured += [(name, time_process(folder, name, text)) for name in PROCESSES]
        for name, seconds in measured if run else ():
            for figure, value in seconds.items():
                found.setdefault(figure, {}).setdefault(name, []).append(value)
    return {
        figure: {name: round(statistics.median(values), 7) for name, values in of_rivals.items()}
        for figure, of_rivals in found.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--output", type=Path, default=KEPT)
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)  # what a process of its own measures
    parser.add_argument("--rival", choices=FILES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        batch, short = json.loads((args.folder / "texts.json").read_text())
        print(json.dumps(MEASURES[args.measure](args.folder / FILES[args.rival], batch, short)))
        return
    model, texts = train(args.folder), list(read(args.folder, "test")[0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        difference = prepare(model, texts, folder)
        report = {
            "terms": len(model[0].idf_),
            "classes": len(model.classes_),
            "runs": args.runs,
            "largest_difference_of_probabilities": difference,
            "processor_seconds": measure_all(folder, texts[0][:200], args.runs),
            "machine": describe_machine("cpu"),
        }
    np.testing.assert_array_less(difference, 1e-5)
    print(json.dumps(report, indent=1))
    write_results(choose_output(args.output, KEPT, args.folder is None), report)


if __name__ == "__main__":
    main()
