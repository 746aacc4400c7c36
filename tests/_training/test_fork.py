"""A forked child can train after its parent has."""

import os
import subprocess
import sys

import pytest

FORK = """
import multiprocessing, sys
import numpy as np, torch
from transferkit import LogisticHead

torch.set_num_threads(2)
X, y = np.random.default_rng(0).normal(size=(2000, 50)), np.arange(2000) % 5

def fit():
    LogisticHead().fit(X, y)

fit()
assert torch.get_num_threads() == 2
child = multiprocessing.get_context("fork").Process(target=fit)
child.start()
child.join(60)
hangs = child.is_alive()
child.kill()
sys.exit("the child hangs" if hangs else child.exitcode)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks safely")
def test_a_forked_child_trains_after_its_parent_did():
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    result = subprocess.run(command, env=environment, check=False, timeout=110, text=True, stderr=subprocess.PIPE)
    assert result.returncode == 0, result.stderr
