"""Heads take arrays of other libraries when scikit-learn dispatches on them, and keep NumPy."""

import os
import subprocess
import sys

CHECK = """
import numpy as np, torch
from sklearn import config_context
from sklearn.datasets import load_iris
from transferkit import LogisticHead, LogisticHeadCV, RidgeHead

X, y = load_iris(return_X_y=True)
tensors = torch.from_numpy(X), torch.from_numpy(y), torch.ones(len(y))
for head in (LogisticHead(), LogisticHeadCV(3), RidgeHead()):
    expected = head.fit(X, y, np.ones(len(y))).predict(X)
    with config_context(array_api_dispatch=True):
        found = head.fit(*tensors).predict(tensors[0])
    assert type(head.coef_) is type(found) is np.ndarray
    assert (abs(found - expected) < 1e-8).all()
"""


def test_torch_tensors_are_taken_when_dispatch_is_on():
    environment = os.environ | {"SCIPY_ARRAY_API": "1"}  # read when SciPy is imported, hence the fresh process
    subprocess.run([sys.executable, "-c", CHECK], check=True, env=environment)
