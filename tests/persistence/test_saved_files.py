"""Files of every released format load for ever and give the results of the day they were written."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import transferkit
from transferkit.persistence._container import FORMAT

FOLDER = Path(__file__).parents[1] / "saved"
PATHS = sorted(FOLDER.glob("*.tk"))


@pytest.fixture(scope="module")
def predict():
    spec = importlib.util.spec_from_file_location("make_saved_files", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.predict


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_saved_file_gives_the_same_results(path, predict):
    answers = json.loads(path.with_suffix(".json").read_text())
    model = transferkit.load(path, verify="full")
    np.testing.assert_allclose(predict(model, answers["rows"]), answers["output"], atol=1e-5)


def test_every_format_has_files():
    assert {int(path.name[len("format") : path.name.index("-")]) for path in PATHS} == set(range(1, FORMAT + 1))


def test_parameters_newer_than_a_file_have_their_defaults():
    encoder = transferkit.load(FOLDER / "format1-word-vectors.tk")
    assert encoder.get_params() == {**transferkit.WordVectorEncoder().get_params(), "n_components": 3, "min_count": 1}
    assert encoder.loss_curve_ == []
