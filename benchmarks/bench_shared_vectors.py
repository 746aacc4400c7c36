"""Measure the memory and the loading time of ten processes that load one file of word vectors.

Run ``python benchmarks/bench_shared_vectors.py`` (Linux; needs 1.5 GB of memory and 0.5 GB of disk). It writes random
vectors of 400,000 words and 300 dimensions to a ``.tk`` file; then processes load it, encode texts, look for the
neighbours of a word (which reads every vector), and wait until all have done so. Each reports its resident memory
(RSS) and its proportional share (PSS, /proc/self/smaps_rollup), where a page that n processes share counts 1/n. The
same is done with ``load(path, mmap=False)``, with joblib, and by a process that loads nothing.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import joblib
import numpy as np
from results import RESULTS, describe_machine, write_results
from timing import timed

import transferkit
from transferkit import WordVectorEncoder

LOADERS = {
    "nothing loaded": "None",
    "load (mapped)": "transferkit.load(sys.argv[1] + '.tk')",
    "load, mmap=False": "transferkit.load(sys.argv[1] + '.tk', mmap=False)",
    "joblib.load": "joblib.load(sys.argv[1] + '.joblib')",
}
CODE = """
import sys, time, json
import joblib, sklearn.pipeline, transferkit
from transferkit import WordVectorEncoder
start = time.perf_counter()
encoder = {loader}
seconds = time.perf_counter() - start
start = time.perf_counter()
if encoder is not None:
    encoder.transform(["word7 and word399999", "word1234"])
    first = time.perf_counter() - start
    encoder.most_similar("word5", n=3)
else:
    first = 0.0
print("ready", flush=True)
sys.stdin.readline()
memory = dict(line.split(":") for line in open("/proc/self/smaps_rollup").read().splitlines()[1:])
megabytes = {{name: int(memory[name].split()[0]) / 1024 for name in ("Rss", "Pss")}}
print(json.dumps({{"load": seconds, "first rows": first, **megabytes}}), flush=True)
sys.stdin.readline()
"""


def write_files(path, n_words, n_components):
    class KeyedVectors:
        index_to_key = [f"word{k}" for k in range(n_words)]
        vectors = np.random.default_rng(0).standard_normal((n_words, n_components), np.float32)
        expandos = {}

    encoder = WordVectorEncoder.from_gensim(KeyedVectors)
    transferkit.save(encoder, f"{path}.tk")
    joblib.dump(encoder, f"{path}.joblib")


def ask(processes):
    """Wait until all have loaded, then let all report while all are alive."""
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    answers = []
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
        answers.append(json.loads(process.stdout.readline()))
    for process in processes:
        process.communicate("\n")
    return answers


def measure(path, loader, n_processes):
    command = [sys.executable, "-c", CODE.format(loader=loader), path]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    answers = ask([subprocess.Popen(command, text=True, **pipes) for _ in range(n_processes)])
    alone = ask([subprocess.Popen(command, text=True, **pipes)])[0]
    return {
        "MB of all processes (sum of PSS)": round(sum(answer["Pss"] for answer in answers)),
        "MB of a process (median RSS)": round(statistics.median(answer["Rss"] for answer in answers)),
        "seconds to load, alone": round(alone["load"], 3),
        "seconds to the first rows, alone": round(alone["load"] + alone["first rows"], 3),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=400_000)
    parser.add_argument("--components", type=int, default=300)
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--output", type=Path, default=RESULTS / "bench_shared_vectors.json")
    arguments = parser.parse_args()
    report = {"words": arguments.words, "components": arguments.components, "processes": arguments.processes}
    report["machine"] = describe_machine("cpu")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/vectors"
        _, seconds = timed(lambda: write_files(path, arguments.words, arguments.components))
        report["seconds to write both files"] = round(seconds, 1)
        report["MB of the file"] = round(Path(f"{path}.tk").stat().st_size / 2**20)
        for name, loader in LOADERS.items():
            copies = "mapped" not in name and name != "nothing loaded"
            n_processes = min(arguments.processes, 3) if copies else arguments.processes  # copies would fill the memory
            report[name] = {"processes": n_processes, **measure(path, loader, n_processes)}
            print(name, report[name], flush=True)
    write_results(arguments.output, report)


if __name__ == "__main__":
    main()
