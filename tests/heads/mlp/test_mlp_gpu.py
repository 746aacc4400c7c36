"""Network heads on a GPU: captured steps equal single operations, and the same seed gives the same weights."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits

from transferkit import MLPHeadClassifier

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


OPTIONS = [
    {},
    {"hidden_layer_sizes": ()},
    {"solver": "sgd", "learning_rate_init": 0.1, "clip_norm": 1.0},
    {"solver": "adamw", "learning_rate": "one_cycle", "warmup": 1},
    {"solver": "nesterov", "learning_rate_init": 0.02, "batch_schedule": "grow", "batch_epochs": 4},
    {"batch_norm": True, "swa": 0.5, "alpha": 0},
    {"mixup": 0.2, "feature_noise": 0.01, "feature_dropout": 0.05, "class_weight": "balanced"},
    {"prune_schedule": {"amount": 0.5, "begin": 2, "end": 6}},
    {"solver": "lbfgs"},
    {"learning_rate_init": "auto"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("sparse", [False, True])
def test_gpu_learns_what_the_cpu_learns(digits, options, sparse):
    X, y = digits
    X = sp.csr_matrix(X) if sparse else X
    common = {"hidden_layer_sizes": (32,), "max_iter": 12, "batch_size": 64, "tol": None, "random_state": 0} | options
    on_cpu = MLPHeadClassifier(**common, device="cpu").fit(X[:1200], y[:1200])
    on_gpu = MLPHeadClassifier(**common, device="cuda").fit(X[:1200], y[:1200])
    assert abs(on_cpu.score(X[1200:], y[1200:]) - on_gpu.score(X[1200:], y[1200:])) < 0.04
    again = MLPHeadClassifier(**common, device="cuda").fit(X[:1200], y[:1200])
    for first, second in zip(on_gpu.coefs_, again.coefs_, strict=True):
        np.testing.assert_array_equal(first, second)


def test_captured_steps_are_those_of_single_operations(digits, monkeypatch):
    from transferkit._training.network import loop

    X, y = digits
    head = MLPHeadClassifier((64, 32), dropout=0.2, max_iter=10, batch_size=64, tol=None, random_state=0, device="cuda")
    captured = head.fit(X, y).loss_curve_
    monkeypatch.setattr(loop, "STEPS_BEFORE_CAPTURE", 10**9)
    single = head.fit(X, y).loss_curve_
    np.testing.assert_allclose(captured, single, rtol=0.1)  # dropout draws other masks in a graph


def test_out_of_memory_error_gives_advice(digits):
    import torch

    X, y = digits
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        with pytest.raises(MemoryError, match=r"ran out of memory on cuda.*Try batch_size"):
            MLPHeadClassifier((8192, 8192), device="cuda", max_iter=1).fit(X, y)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
