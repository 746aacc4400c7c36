"""Editors and type checkers know the parameters of estimators: the annotations are those that `fit` checks."""

import inspect
import os
import subprocess
import sys
from importlib.util import find_spec
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from sklearn.utils._param_validation import Interval, StrOptions

import transferkit

ESTIMATORS = [each for name in transferkit.__all__ if hasattr(each := getattr(transferkit, name), "get_params")]
SCRIPT = """
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold

from transferkit import CORAL, DomainTransferClassifier, LogisticHead, LogisticHeadCV, MLPHeadClassifier
from transferkit import MultiTaskTransfer, PretrainedEncoder, RidgeHead, SelectiveClassifier, TransferClassifier
from transferkit import TransferRegressor, WordVectorEncoder

encoder: WordVectorEncoder = WordVectorEncoder(100, pooling="mean", stop_words=["a"]).fit(["a text"])
model: TransferClassifier = TransferClassifier(encoder, strategy="frozen").fit(["a text"], ["a label"])
labels: np.ndarray = model.predict(["a text"])
TransferClassifier(PretrainedEncoder(Path("encoder.tk")), LogisticHead(C=1, class_weight={"a": 1.0}), cv=KFold(3))
TransferClassifier(PCA(3), scoring="accuracy", teacher=lambda X: X, class_prior=[0.5, 0.5], random_state=None)
DomainTransferClassifier("encoder.tk", adaptation=CORAL(shrinkage=0.5))
LogisticHeadCV(np.logspace(0, 1, 3), cv=[(np.arange(3), np.arange(3))], refit="average")
MLPHeadClassifier((3, 4), learning_rate=lambda epoch: 0.1, batch_size="auto")
TransferRegressor(encoder, RidgeHead(alphas=[1.0, 2]))
SelectiveClassifier(MultiTaskTransfer(TransferClassifier(encoder)), coverage=0.5)

TransferClassifier(strategy=3)  # wrong
TransferClassifier(strategy="magic")  # wrong
TransferClassifier(strategies="frozen")  # wrong
TransferClassifier(3)  # wrong
TransferClassifier(head="logistic")  # wrong
LogisticHead(C="1")  # wrong
LogisticHead(class_weight="balance")  # wrong
WordVectorEncoder(n_components="100")  # wrong
model.fit(["a text"], ["a label"], cv=3)  # wrong
model.fit(["a text"])  # wrong
model.predict_proba()  # wrong
number: int = model.predict(["a text"])  # wrong
"""
# Only what users call is read, which takes a few seconds
SETTINGS = """
[mypy]
follow_imports = silent
ignore_missing_imports = true
[mypy-torch.*,transferkit._training.*,transferkit._algorithms.*,transferkit.inspection.*]
follow_imports = skip
"""


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy_finds_the_wrong_calls_of_a_script_and_no_others(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "mypy.ini").write_text(SETTINGS, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "script.py"]
    environment = os.environ | {"MYPYPATH": str(Path(transferkit.__file__).parents[1])}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    found = [int(line.split(":")[1]) for line in result.stdout.splitlines() if ": error:" in line]
    expected = [number for number, line in enumerate(SCRIPT.splitlines(), 1) if line.endswith("# wrong")]
    assert found == expected, result.stdout + result.stderr


def flatten(hint):
    """Return the types and literals of a hint, without those inside collections."""
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    if get_origin(hint) is None or (isinstance(get_origin(hint), type) and not get_args(hint)):
        return {hint}
    if isinstance(get_origin(hint), type) and get_origin(hint).__module__ != "types":
        return {get_origin(hint)}
    return {part for each in get_args(hint) for part in flatten(each)}


@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_annotations_of_parameters_are_their_constraints(cls):
    hints = get_type_hints(cls.__init__)
    for name, constraints in cls._parameter_constraints.items():
        if "no_validation" not in constraints:
            check_annotation(name, flatten(hints[name]), constraints)


def check_annotation(name, hint, constraints):
    words = {each for each in constraints if isinstance(each, str)}
    kinds = {each.type if isinstance(each, Interval) else each for each in constraints if not isinstance(each, str)}
    options = {
        value for each in constraints if isinstance(each, StrOptions) for value in each.options - each.deprecated
    }
    is_int_or_none = bool(words & {"random_state", "cv_object"})
    if str not in hint:  # of which there are too many to list: scorers
        assert {each for each in hint if isinstance(each, str)} == options, name
    assert (str in hint) == (str in kinds or name == "scoring"), name
    assert (NoneType in hint) == (None in kinds or is_int_or_none), name
    assert (bool in hint) == ("boolean" in words), name
    assert (float in hint) == (Real in kinds), name
    assert (int in hint or float in hint) == (bool(kinds & {Integral, Real}) or is_int_or_none), name
    assert (os.PathLike in hint) == (os.PathLike in kinds), name


METHODS = ("fit", "fit_transform", "partial_fit", "predict", "predict_log_proba", "predict_proba", "transform")


@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_methods_say_what_they_return(cls):
    own = [getattr(cls, name) for name in METHODS if hasattr(cls, name)]
    own = [method for method in own if method.__module__.startswith("transferkit")]
    assert own
    assert [method.__name__ for method in own if "return" not in inspect.get_annotations(method)] == []
