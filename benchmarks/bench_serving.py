"""Measure the files of a model, and a server under load; times of loading and first answers: bench_first_answers.py.

Run ``python benchmarks/bench_serving.py FOLDER`` (FOLDER holds 20 Newsgroups as scikit-learn caches it; see datasets/).
The model is TF-IDF and a logistic head, 130,107 terms and 20 classes, trained once; without FOLDER it is one of
docstrings. It is compared with the same weights in scikit-learn's own classes (`to_sklearn`, which must give the same
probabilities; coef_ in the order that scikit-learn's fit leaves it), saved with joblib, and with skops if it is
installed. ``--load-test 60`` instead serves the model on loopback and sends
requests for that many seconds. The memory of processes that share a file is measured by bench_shared_vectors.py.
"""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
from data import read_newsgroups
from results import RESULTS, choose_output, describe_machine, read_results, write_results
from rivals import is_installed
from sklearn.pipeline import Pipeline

from transferkit import LogisticHead, TfidfEncoder, load, save, to_sklearn
from transferkit.compression import quantise
from transferkit.datasets import load_docstrings

KEPT = RESULTS / "bench_serving.json"
TEXT = "The new graphics card draws windows much faster than the old one, but the driver crashes when two games start"
SMALLER = ("float16", "float16, compressed", "float32, compressed")


def read(folder, part):
    """Return texts and labels of the training or the test part of 20 Newsgroups; without a folder, of docstrings."""
    if folder is None:
        docstrings = load_docstrings()
        one = slice(0, None, 2) if part == "train" else slice(1, None, 2)
        return docstrings.data[one], docstrings.target[one]
    texts, groups, names = read_newsgroups(folder, part)
    return texts, np.array(names)[groups]


def train(folder, kept=None):
    """Return the model, from the file of an earlier run if there is one."""
    if kept is not None and kept.exists():
        return load(kept)
    model = Pipeline([("encoder", TfidfEncoder()), ("head", LogisticHead(C=10.0))]).fit(*read(folder, "train"))
    if kept is not None:
        save(model, kept)
    return model


def write_files(model, folder):
    """Write the model in each way, after checking that the rival gives its probabilities; return the paths."""
    rival = to_sklearn(model)
    # as scikit-learn's own fit leaves them: float64, and weights in the other order
    rival[0].set_params(dtype=np.float64)._tfidf.idf_ = rival[0].idf_.astype(np.float64)
    rival[-1].coef_ = np.ascontiguousarray(rival[-1].coef_, np.float64)
    np.testing.assert_allclose(rival.predict_proba([TEXT]), model.predict_proba([TEXT]), atol=1e-5)
    paths = {"transferkit": folder / "model.tk", "joblib": folder / "model.joblib"}
    save(model, paths["transferkit"])
    joblib.dump(rival, paths["joblib"])
    if is_installed("skops"):
        import skops.io

        paths["skops"] = folder / "model.skops"
        skops.io.dump(rival, paths["skops"])
    return paths


def measure_smaller_files(model, data_folder):
    """Return the file sizes and accuracies of models with float16 weights and compressed terms."""
    texts, labels = read(data_folder, "test")
    small = Pipeline([("encoder", model[0]), ("head", quantise(model[1], "float16"))])
    rows = model[0].transform(texts)
    accuracy, small_accuracy = (np.mean(head.predict(rows) == labels) for head in (model[1], small[1]))
    report = {"accuracy_float32": round(float(accuracy), 5)}
    report["points_lost"] = round(100 * float(accuracy - small_accuracy), 3)
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.tk" for name in SMALLER}
        for name, path in paths.items():
            save(model if "float32" in name else small, path, compress="compressed" in name)
        report["file_mb"] = {name: round(path.stat().st_size / 1e6, 2) for name, path in paths.items()}
    return report


def measure_files(model):
    """Return the sizes in MB of the model in each kind of file."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(model, Path(folder))
        return {name: round(path.stat().st_size / 1e6, 2) for name, path in paths.items()}


def proportional_set_size(pid):
    """Return the memory of a process in MB, where pages shared by n processes count 1/n."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError("no Pss in smaps_rollup")


def try_load(model, data_folder, seconds, n_clients=4):
    """Serve the model in its own process and send requests; return rates, latencies, errors and memory."""
    texts = read(data_folder, "test")[0][:2000]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tk"
        save(model, path)
        command = [sys.executable, "-u", "-m", "transferkit", "serve", str(path), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            url = server.stdout.readline().split()[2]
            latencies, errors, memory = [], [], []
            stop = time.monotonic() + seconds
            with ThreadPoolExecutor(n_clients) as pool:
                clients = [pool.submit(ask, url, texts, client, stop, latencies, errors) for client in range(n_clients)]
                while time.monotonic() < stop:
                    time.sleep(min(5, seconds / 6))
                    memory.append(round(proportional_set_size(server.pid), 1))
            for client in clients:
                client.result()  # raises the errors of the client
        finally:
            server.terminate()
            server.wait()
    percentiles = np.percentile(latencies, [50, 95, 99]).round(2).tolist()
    return {
        "seconds": seconds, "clients": n_clients, "requests": len(latencies),
        "errors": len(errors), "first_errors": errors[:3],
        "requests_per_second": round(len(latencies) / seconds, 1),
        "latency_ms": dict(zip(("p50", "p95", "p99"), percentiles, strict=True)), "memory_mb": memory,
    }  # fmt: skip


def ask(url, texts, seed, stop, latencies, errors):
    """Request predictions of random texts until the time `stop`; add milliseconds and responses that are errors."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    random, headers = np.random.RandomState(seed), {"content-type": "application/json"}
    while time.monotonic() < stop:
        body = json.dumps({"texts": [texts[random.randint(len(texts))][:1000]]})
        start = time.perf_counter()
        connection.request("POST", "/predict", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        latencies.append(1000 * (time.perf_counter() - start))
        if answer.status != 200:
            errors.append(content.decode())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--load-test", type=float, metavar="SECONDS")
    parser.add_argument("--model", type=Path, help="keep the trained model in this file, for the next run")
    parser.add_argument("--output", type=Path, default=KEPT)
    args = parser.parse_args()
    args.output = choose_output(args.output, KEPT, args.folder is None)
    model = train(args.folder, args.model)
    report = read_results(args.output)
    if args.load_test:
        report["load_test"] = try_load(model, args.folder, args.load_test)
    else:
        report["file_mb"] = measure_files(model)
        report["smaller_files"] = measure_smaller_files(model, args.folder)
    kept = {name: report[name] for name in ("load_test", "file_mb", "smaller_files") if name in report}
    report = kept | {"machine": describe_machine("cpu")}
    print(json.dumps(report, indent=1))
    write_results(args.output, report)


if __name__ == "__main__":
    main()
