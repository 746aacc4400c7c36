"""The encoder of the package, by its name."""

import numpy as np
import pytest

import transferkit
from transferkit import PretrainedEncoder, TfidfEncoder, TransferClassifier
from transferkit.persistence import PACKAGED_MODELS

TEXTS = ["a fine film", "a great story", "a dull film", "a boring story"] * 2
LABELS = ["good", "good", "bad", "bad"] * 2


def test_name_stands_for_the_file_of_the_package():
    encoder = transferkit.load("english")
    assert (PretrainedEncoder("english").transform(TEXTS) == encoder.transform(TEXTS)).all()
    assert transferkit.describe("english").digest == transferkit.describe(PACKAGED_MODELS["english"]).digest


def test_own_file_of_that_name_needs_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    transferkit.save(TfidfEncoder().fit(TEXTS), "./english")
    assert isinstance(transferkit.load("./english"), TfidfEncoder)
    assert not isinstance(transferkit.load("english"), TfidfEncoder)
    with pytest.raises(ValueError, match=r"'english' is the name of an encoder of the package.*'english\.tk'"):
        transferkit.save(TfidfEncoder().fit(TEXTS), "english")


@pytest.mark.parametrize("strategy", ["auto", "term_vectors", "frozen"])
def test_saved_model_needs_no_encoder_of_the_package(strategy, tmp_path, monkeypatch):
    model = TransferClassifier("english", strategy=strategy).fit(TEXTS, LABELS)
    expected = model.predict_proba(["an awful film"])
    transferkit.save(model, tmp_path / "model.tk")
    monkeypatch.setitem(PACKAGED_MODELS, "english", tmp_path / "missing.tk")
    loaded = transferkit.load(tmp_path / "model.tk")
    np.testing.assert_array_equal(loaded.predict_proba(["an awful film"]), expected)
    assert (tmp_path / "model.tk").stat().st_size < 13e6  # the integers of the encoder are kept
