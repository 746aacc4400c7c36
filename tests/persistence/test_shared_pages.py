"""Processes that load one model file share its pages."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import transferkit
from transferkit import WordVectorEncoder

N_PROCESSES = 3
CODE = """
import re, sys
import transferkit
encoder = transferkit.load(sys.argv[1])
encoder.most_similar("word5", n=3)  # reads every vector
print("ready", flush=True)
sys.stdin.readline()
maps = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", open("/proc/self/smaps").read())
mapped = [part for part in maps if sys.argv[1] in part]
print(*(sum(int(re.search(rf"{name}: +([0-9]+)", part)[1]) for part in mapped) for name in ("Rss", "Pss")), flush=True)
sys.stdin.readline()
"""


class KeyedVectors:
    index_to_key = [f"word{k}" for k in range(20_000)]
    vectors = np.random.default_rng(0).standard_normal((20_000, 100), np.float32)
    expandos = {}


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux reports which pages are shared")
def test_processes_share_the_pages_of_a_file(tmp_path):
    path = tmp_path / "vectors.tk"
    transferkit.save(WordVectorEncoder.from_gensim(KeyedVectors()), path)
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    processes = [
        subprocess.Popen([sys.executable, "-c", CODE, str(path)], text=True, **pipes) for _ in range(N_PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        kilobytes = []
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
            kilobytes.append([int(number) for number in re.findall(r"\d+", process.stdout.readline())])
    finally:
        for process in processes:
            process.communicate("\n")
    resident, proportional = zip(*kilobytes, strict=True)
    size = KeyedVectors.vectors.nbytes / 1024
    assert min(resident) > 0.95 * size  # all of them hold all vectors,
    assert sum(proportional) < 1.5 * path.stat().st_size / 1024  # and hold them once
