"""Inference mode, autocast and default device of the caller change nothing, and stay as they are."""

from functools import cache

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from transferkit import (
    AutoencoderEncoder,
    KMeansEncoder,
    LogisticHead,
    LogisticHeadCV,
    MLPHeadClassifier,
    MLPHeadRegressor,
    TorchEncoder,
    TransferClassifier,
    WordVectorEncoder,
)
from transferkit._training.device import with_own_modes
from transferkit.compression import prune

X = (load_digits().data[:120] / 16).astype(np.float32)
Y = load_digits().target[:120] % 3
TEXTS = ["red cat sat", "blue dog ran", "red fox ran", "blue ant sat", "a red dog", "a blue fox"] * 8


@cache
def make_module():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(64, 12), torch.nn.ReLU(), torch.nn.Linear(12, 6))


def fine_tune():
    model = TransferClassifier(TorchEncoder(make_module()), strategy="finetune", cv=2, encoder_learning_rate=1.0)
    model.fit(X[:60], Y[:60])
    assert not torch.equal(model.encoder_.module[0].weight, make_module()[0].weight)
    return model.predict_proba(X)


def fit_in_parts():
    head = MLPHeadClassifier(8, batch_norm=True, random_state=0).partial_fit(X, Y, classes=[0, 1, 2])
    return head.partial_fit(X[:61], Y[:61]).predict_proba(X)


ANSWERS = {
    "linear head": lambda: LogisticHead().fit(np.tile(X, (6, 1)), np.tile(Y, 6)).coef_,  # in float32
    "linear head of wide rows": lambda: LogisticHead().fit(np.tile(X[:30], 20), Y[:30]).coef_,
    "search": lambda: LogisticHeadCV(cv=2).fit(X, Y).coef_,
    "network": lambda: MLPHeadClassifier(8, max_iter=3, mixup=0.3, random_state=0).fit(X, Y).predict_proba(X),
    "network by parts": fit_in_parts,
    "line search": lambda: MLPHeadRegressor((), solver="lbfgs", max_iter=4, random_state=0).fit(X, Y).predict(X),
    "pruned": lambda: prune(LogisticHead().fit(X, Y), 0.5, X=X, y=Y).decision_function(X),
    "autoencoder": lambda: AutoencoderEncoder((8,), 3, max_iter=2).fit(X).transform(X),
    "clusters": lambda: KMeansEncoder(4, random_state=0).fit(X).transform(X),
    "clusters by parts": lambda: KMeansEncoder(4, random_state=0).partial_fit(X[:60]).partial_fit(X[60:]).transform(X),
    "word vectors": lambda: WordVectorEncoder(3, method="glove", min_count=1, max_iter=2).fit(TEXTS).transform(TEXTS),
    "texts": lambda: TransferClassifier(WordVectorEncoder(3, min_count=1).fit(TEXTS), cv=2).fit(
        TEXTS, [0, 1] * 24).predict_proba(TEXTS),
    "torch module": lambda: TorchEncoder(make_module()).fit(X).transform(X),
    "fine-tuning": fine_tune,
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_modes_of_the_caller_change_nothing(name):
    expected = ANSWERS[name]()
    with torch.inference_mode():
        answers = [ANSWERS[name]()]
        assert torch.is_inference_mode_enabled()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answers.append(ANSWERS[name]())
        assert torch.is_autocast_enabled("cpu")
        with torch.inference_mode():
            answers.append(ANSWERS[name]())
    with torch.device("meta"):
        answers.append(ANSWERS[name]())
        assert torch.get_default_device().type == "meta"
    for answer in answers:
        np.testing.assert_array_equal(answer, expected)


def test_module_that_was_made_in_inference_mode_can_be_fine_tuned():
    with torch.inference_mode():
        module = make_module.__wrapped__()
    model = TransferClassifier(TorchEncoder(module), strategy="finetune", cv=2).fit(X[:60], Y[:60])
    assert not torch.equal(model.encoder_.module[0].weight, module[0].weight)


def test_modes_come_back_after_an_error():
    @with_own_modes()
    def fail():
        raise ValueError(f"inside: {torch.is_inference_mode_enabled()}, {torch.is_autocast_enabled('cpu')}")

    with torch.inference_mode(), torch.autocast("cpu"):
        with pytest.raises(ValueError, match="inside: False, False"):
            fail()
        assert torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu")
