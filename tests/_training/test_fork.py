"""A forked child can train after its parent has computed with several threads."""

import os
import subprocess
import sys

import pytest

# Cases begin in a child that has computed nothing yet, so that one process imports torch for all of them.
CASES = """
import multiprocessing, sys
import joblib, numpy as np, torch
import transferkit
from transferkit._training import device

X, y = np.random.default_rng(0).normal(size=(2000, 50)), np.arange(2000) % 5
context = multiprocessing.get_context("fork")

def multiply():
    torch.ones(1000, 1000) @ torch.ones(1000, 1000)

def fit(threads=None):
    multiply()
    transferkit.LogisticHead().fit(X, y)

def fit_in_many_threads():
    device.LARGE_STEP = 0
    fit()

def fit_in_a_child(before):
    torch.set_num_threads(2)
    before()
    assert torch.get_num_threads() == 2
    sys.exit(run(fit, 40))

def fit_in_workers():
    torch.set_num_threads(2)
    fit()
    joblib.Parallel(n_jobs=2, backend="multiprocessing", timeout=40)(joblib.delayed(fit)() for _ in range(2))

def run(function, seconds, *args):
    child = context.Process(target=function, args=args)
    child.start()
    child.join(seconds)
    hangs = child.is_alive()
    child.kill()
    return "the child hangs" if hangs else child.exitcode

for before in (fit, multiply, fit_in_many_threads):
    print(before.__name__, run(fit_in_a_child, 60, before), flush=True)
print("workers", run(fit_in_workers, 60))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks safely")
def test_forked_children_train_after_their_parent_computed():
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", CASES]
    result = subprocess.run(command, env=environment, check=False, timeout=300, text=True, capture_output=True)
    cases = ("fit", "multiply", "fit_in_many_threads", "workers")
    assert result.stdout.splitlines() == [f"{name} 0" for name in cases], result.stderr
