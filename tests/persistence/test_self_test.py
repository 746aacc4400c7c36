"""The self-test of a model file finds changes that a digest cannot, and reports if it was not run."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.decomposition import NMF
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

import transferkit
from transferkit import LogisticHead, TfidfEncoder, TorchEncoder, TransferClassifier
from transferkit.cli._commands import commands
from transferkit.exceptions import ModelFileError
from transferkit.persistence import _container, load_with_outcome

TEXTS, LABELS = ["a matrix has rows", "rows of a matrix", "a vector has entries", "entries of a vector"], list("mmvv")
X = np.random.RandomState(0).rand(20, 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.tk"


def fit_words(**parameters):
    return make_pipeline(TfidfEncoder(**parameters), LogisticHead()).fit(TEXTS, LABELS)


def change_weights(path, change):
    """Change every matrix of weights, but not the stored output of the self-test, and compute the digest again."""
    with _container.open_container(path) as file:
        header = _container.read_header(file)
        arrays = {k: a.copy() for k, a in _container.read_arrays(file, header, mmap=False).items()}
    output = dict(header.metadata["probe"]["dict"])["output"]["array"]
    for name, array in arrays.items():
        if name != output and array.dtype.kind == "f" and array.ndim == 2:
            array[:] = change(array)
    _container.write_container(path, arrays, header.metadata)


def turn_signs(path):
    change_weights(path, np.negative)


def verify(path):
    result = CliRunner().invoke(commands, ["verify", str(path)])
    return result.output if result.exception is None else str(result.exception)


def fit_network():
    import torch

    return TorchEncoder(torch.nn.Linear(3, 2)).fit(X.astype(np.float32))


NOT_COMPARED = {
    "token_pattern": (lambda: fit_words(token_pattern=r"[a-z]+"), "a TfidfEncoder with a custom token_pattern"),
    "nothing after": (lambda: fit_words(token_pattern=r"\S+\b"), "a TfidfEncoder with a custom token_pattern"),
    "iterations": (lambda: NMF(2, max_iter=10_001).fit(X), "an NMF that may iterate more than 10,000 times"),
    "names": (lambda: StandardScaler().fit(pd.DataFrame(X, columns=list("abc"))), "the file holds no self-test"),
    "network": (fit_network, "the model holds a TorchEncoder, whose network"),
}


@pytest.mark.parametrize("name", NOT_COMPARED)
def test_models_that_were_not_compared_are_not_reported_as_passed(name, path):
    make_model, reason = NOT_COMPARED[name]
    transferkit.save(make_model(), path)
    assert reason in load_with_outcome(path)[1]
    said = verify(path)
    assert f"self-test not run: {reason}" in said or f"self-test not run: the model holds {reason}" in said
    assert "self-test passed" not in said


@pytest.mark.parametrize(
    "pattern", [r"(?u)\b\w\w+\b", r"\w+", r"\S+", r"(?u)\b\w+\b", r"\b\w\w\w+", r"(?u)\w+", r"\S\S+"]
)
def test_wrong_weights_are_found_with_patterns_that_cannot_run_long(pattern, path):
    transferkit.save(fit_words(token_pattern=pattern), path)
    assert load_with_outcome(path)[1] is None
    assert "self-test passed" in verify(path)
    turn_signs(path)
    with pytest.raises(ModelFileError, match="gives other results than when it was saved"):
        transferkit.load(path)
    assert "gives other results than when it was saved" in verify(path)


@pytest.mark.parametrize(
    "pattern", [r"(a|a)+$", r"\S+\b", r"(\w+)+\b", r"\w+\w+", "\\w" * 20 + "+", r"\w{9}+", ".+a", ""]
)
def test_patterns_that_could_run_long_are_not_run(pattern, path, monkeypatch):
    transferkit.save(TfidfEncoder().fit(TEXTS), path)
    with _container.open_container(path) as file:
        header = _container.read_header(file)
        arrays = {k: a.copy() for k, a in _container.read_arrays(file, header, mmap=False).items()}
    header.metadata["estimators"][0]["state"]["token_pattern"] = pattern
    _container.write_container(path, arrays, header.metadata)
    assert "custom token_pattern, which could take forever" in load_with_outcome(path)[1]


@pytest.mark.parametrize(
    "make_encoder",
    [lambda: make_pipeline(TfidfEncoder()), lambda: make_pipeline(make_union("drop", TfidfEncoder())),
     lambda: make_pipeline(make_pipeline(TfidfEncoder()), "passthrough")],
)  # fmt: skip
def test_text_encoders_within_other_estimators_are_compared(make_encoder, path):
    transferkit.save(make_pipeline(make_encoder(), LogisticHead()).fit(TEXTS, LABELS), path)
    assert load_with_outcome(path)[1] is None
    turn_signs(path)
    with pytest.raises(ModelFileError, match="gives other results than when it was saved"):
        transferkit.load(path)


def test_encoders_of_several_parts_within_a_transfer_classifier_are_compared(path):
    encoder = make_union(TfidfEncoder(), TfidfEncoder(analyzer="char_wb")).fit(TEXTS)
    model = TransferClassifier(encoder, LogisticHead(), strategy="frozen").fit(TEXTS, LABELS)
    transferkit.save(model, path)
    assert load_with_outcome(path)[1] is None
    turn_signs(path)
    with pytest.raises(ModelFileError, match="gives other results than when it was saved"):
        transferkit.load(path)


def test_outcome_without_a_self_test(path):
    transferkit.save(fit_words(), path)
    assert load_with_outcome(path, verify=None)[1] == "verify=None skips the self-test"
    assert load_with_outcome(path, verify="full")[1] is None


def test_warning_of_a_newer_version_names_the_line_that_loads(path):
    transferkit.save(StandardScaler().fit(X), path)
    with _container.open_container(path) as file:
        header = _container.read_header(file)
        arrays = {k: a.copy() for k, a in _container.read_arrays(file, header, mmap=False).items()}
    header.metadata["versions"]["scikit-learn"] = "99.1"
    _container.write_container(path, arrays, header.metadata)
    for load in (transferkit.load, load_with_outcome):
        with pytest.warns(match="99") as caught:
            load(path)
        assert caught[0].filename == __file__


def test_model_that_gives_nan_is_warned_of_and_not_called_damaged(path):
    model = fit_words()
    model[-1].intercept_ = model[-1].intercept_ * np.nan
    with pytest.warns(UserWarning, match="This Pipeline returns NaN for ordinary input"):
        transferkit.save(model, path)
    assert np.isnan(transferkit.load(path).predict_proba(TEXTS)).all()


def test_nan_that_was_not_there_is_damage(path):
    transferkit.save(fit_words(), path)
    change_weights(path, lambda weights: np.nan)
    with pytest.raises(ModelFileError, match="gives other results than when it was saved"):
        transferkit.load(path)
