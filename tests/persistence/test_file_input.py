"""Models whose input names files are loaded only if the caller allows it."""

import functools
import os

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.pipeline import make_pipeline, make_union

import transferkit
from transferkit import LogisticHead, LSAEncoder, PretrainedEncoder, TfidfEncoder
from transferkit.exceptions import ModelFileError
from transferkit.persistence import _container, reads_files

TEXTS = ["alpha beta", "gamma delta"]


@pytest.fixture
def paths(tmp_path):
    found = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path, text in zip(found, TEXTS, strict=True):
        path.write_text(text)
    return [os.fspath(path) for path in found]


@pytest.fixture
def reader(paths):
    return TfidfEncoder(input="filename").fit(paths)


def set_input(path, value):
    """Change the input of the first TfidfEncoder in a model file."""
    with _container.open_container(path) as file:
        header = _container.read_header(file)
        arrays = _container.read_arrays(file, header, mmap=False)
    state = next(e["state"] for e in header.metadata["estimators"] if e["class"].endswith("TfidfEncoder"))
    state["input"] = value
    arrays["text"], arrays["ends"] = np.frombuffer(b"filename", np.uint8), np.array([8])
    _container.write_container(path, arrays, header.metadata)


def test_model_that_opens_files_is_loaded_only_where_that_is_allowed(paths, tmp_path):
    path = tmp_path / "model.tk"
    union = make_union(TfidfEncoder(input="filename"))
    transferkit.save(make_pipeline(union, LogisticHead()).fit(paths, [0, 1]), path)
    for verify in ("probe", "full", None):
        with pytest.raises(ModelFileError, match=r"with input='filename': .* allow_file_input=True\)"):
            transferkit.load(path, verify=verify)
    assert transferkit.describe(path).class_name == "Pipeline"
    model = transferkit.load(path, allow_file_input=True)
    assert model.predict(paths).tolist() == [0, 1]


@pytest.mark.parametrize(
    "value", ["filename", "file", *({"strings": [kind, shape, "text", "ends"]} for kind in "UO" for shape in ([], [1]))]
)
@pytest.mark.parametrize("make", [TfidfEncoder, lambda: LSAEncoder(1), lambda: make_union(TfidfEncoder())])
def test_no_spelling_of_the_parameter_gets_through(make, value, tmp_path):
    transferkit.save(PretrainedEncoder(make().fit([*TEXTS, "beta gamma"])), tmp_path / "model.tk")
    set_input(tmp_path / "model.tk", value)
    with pytest.raises(ModelFileError, match="its input names files"):
        transferkit.load(tmp_path / "model.tk", verify=None)


def test_classes_that_the_caller_trusts_are_no_exception(tmp_path):
    names = ["sklearn.feature_extraction.text.CountVectorizer"]
    vectorizer = CountVectorizer(input="filename")
    vectorizer.vocabulary_ = {"alpha": 0}
    transferkit.save(vectorizer, tmp_path / "model.tk", trusted=names)
    with pytest.raises(ModelFileError, match="its input names files"):
        transferkit.load(tmp_path / "model.tk", trusted=names)


@pytest.mark.parametrize("kind", ["filename", "file"])
def test_reading_model_is_found_wherever_it_is_inside(kind):
    class Wrapper:
        def __init__(self, inner):
            self.inner = inner

    encoders = [TfidfEncoder(input=kind), CountVectorizer(input=kind), HashingVectorizer(input=kind)]
    for encoder in encoders:
        objects = np.array([None, encoder], dtype=object)
        function = functools.partial(print, encoder)
        for inner in (encoder, [encoder], {"a": (encoder,)}, objects, function, encoder.fit):
            assert reads_files(make_pipeline(LogisticHead(), Wrapper(inner)))


def test_other_models_read_no_files(reader):
    loop = make_pipeline(TfidfEncoder(), LogisticHead())
    loop.steps.append(("itself", loop))
    assert not reads_files(loop)
    assert not reads_files(PretrainedEncoder(TfidfEncoder().fit(TEXTS)))
    assert reads_files(PretrainedEncoder(reader))
