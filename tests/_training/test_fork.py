"""A forked child can train after its parent has computed with several threads."""

import os
import subprocess
import sys

import pytest

FIT = """
import multiprocessing, sys
import joblib, numpy as np, torch
import transferkit

torch.set_num_threads(2)
X, y = np.random.default_rng(0).normal(size=(2000, 50)), np.arange(2000) % 5

def fit(threads=None):
    torch.ones(1000, 1000) @ torch.ones(1000, 1000)
    transferkit.LogisticHead().fit(X, y)
"""
FORK = """
child = multiprocessing.get_context("fork").Process(target=fit)
child.start()
child.join(60)
hangs = child.is_alive()
child.kill()
sys.exit("the child hangs" if hangs else child.exitcode)
"""
BEFORE_FORK = {
    "a fit": "fit()",
    "torch alone": "torch.ones(1000, 1000) @ torch.ones(1000, 1000)",
    "a large fit": "from transferkit._training import device; device.LARGE_STEP = 0; fit()",
}
JOBLIB = """
fit()
joblib.Parallel(n_jobs=2, backend="multiprocessing", timeout=60)(joblib.delayed(fit)() for _ in range(2))
"""


def run_with_two_threads(code):
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, env=environment, check=False, timeout=110, text=True, stderr=subprocess.PIPE)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks safely")
@pytest.mark.parametrize("before", BEFORE_FORK.values(), ids=BEFORE_FORK)
def test_a_forked_child_trains_after_its_parent_computed(before):
    result = run_with_two_threads(FIT + before + "\nassert torch.get_num_threads() == 2" + FORK)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks safely")
def test_forked_workers_of_joblib_train_after_their_parent_did():
    result = run_with_two_threads(FIT + JOBLIB)
    assert result.returncode == 0, result.stderr
