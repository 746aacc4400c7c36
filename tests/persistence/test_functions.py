"""Functions in model files: only their import path, which the caller of load has to trust."""

import functools
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import transferkit
from transferkit import LogisticHead, LSAEncoder, TfidfEncoder, TorchEncoder, TransferClassifier
from transferkit.exceptions import ModelFileError
from transferkit.persistence import _container, load_with_outcome

TEXTS = ["我喜欢这个电影", "这个电影很好", "我讨厌这本书", "这本书不好"] * 3
LABELS = ["film", "film", "book", "book"] * 3
MODULE = """
    from pathlib import Path
    (Path(__file__).parent / "imported").touch()
    def cut(text):
        return [text[i : i + 2] for i in range(len(text) - 1)]
    def lazily(text):
        yield from cut(text)
    def clean(text):
        return text.replace("很", "")
    class Cutter:
        @staticmethod
        def cut(text):
            return list(text)
        def method(self, text):
            return list(text)
    def make():
        def cut(text):
            return list(text)
        return cut
    nested, a_lambda = make(), lambda text: list(text)
    number = 7
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.tk"


@pytest.fixture
def cuts(tmp_path, monkeypatch):
    """Return a module of the user's, which leaves a mark when it is imported."""
    (tmp_path / "own_cuts.py").write_text(textwrap.dedent(MODULE), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_cuts", raising=False)
    import own_cuts

    yield own_cuts
    sys.modules.pop("own_cuts", None)


def fit_texts(function):
    encoder = TfidfEncoder(tokenizer=function, token_pattern=None)
    return make_pipeline(encoder, LogisticHead()).fit(TEXTS, LABELS)


def rewrite(path, change):
    """Write the file again with changed metadata."""
    with _container.open_container(path) as file:
        header = _container.read_header(file)
        arrays = {key: a.copy() for key, a in _container.read_arrays(file, header, mmap=False).items()}
    change(header.metadata)
    _container.write_container(path, arrays, header.metadata)


def state_of(metadata, class_name):
    return next(e["state"] for e in metadata["estimators"] if e["class"].rpartition(".")[2] == class_name)


def test_tokenizer_is_found_again_in_another_process(cuts, path, tmp_path):
    encoder = LSAEncoder(3, tokenizer=cuts.cut, token_pattern=None).fit(TEXTS)
    model = TransferClassifier(encoder, strategy="frozen").fit(TEXTS, LABELS)
    transferkit.save(model, path, trusted=["own_cuts.cut"])
    code = (
        "import json, sys, transferkit\n"
        "model = transferkit.load(sys.argv[1], trusted=['own_cuts.cut'])\n"
        "print(json.dumps(model.predict_proba(json.loads(sys.argv[2])).tolist()))"
    )
    command = [sys.executable, "-c", code, str(path), json.dumps(TEXTS)]
    places = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": places})
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(json.loads(result.stdout), model.predict_proba(TEXTS), atol=1e-6)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("tokenizer", "cut"),
        ("tokenizer", "lazily"),
        ("analyzer", "cut"),
        ("analyzer", "lazily"),
        ("preprocessor", "clean"),
    ],
)
def test_functions_of_text_encoders_come_back_and_are_tested(place, name, cuts, path):
    function = getattr(cuts, name)
    pattern = {"token_pattern": None} if place != "preprocessor" else {"token_pattern": r"\S+"}
    model = make_pipeline(TfidfEncoder(**{place: function}, **pattern), LogisticHead()).fit(TEXTS, LABELS)
    transferkit.save(model, path, trusted=[function])
    for trusted in ([f"own_cuts.{name}"], [function]):
        loaded, not_compared = load_with_outcome(path, trusted=trusted)
        assert not_compared is None
        assert getattr(loaded[0], place) is function
        np.testing.assert_array_equal(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS))


def test_function_that_has_changed_is_found_by_the_self_test(cuts, path, monkeypatch):
    transferkit.save(fit_texts(cuts.cut), path, trusted=["own_cuts.cut"])
    monkeypatch.setattr(cuts, "cut", lambda text: list(text))
    with pytest.raises(ModelFileError, match="gives other results than when it was saved"):
        transferkit.load(path, trusted=["own_cuts.cut"])


@pytest.mark.parametrize("trusted", [None, [], ["own_cuts"], ["own_cuts.clean"], ["cut"]])
def test_function_is_not_imported_unless_it_is_named_exactly(trusted, cuts, path, tmp_path):
    transferkit.save(fit_texts(cuts.cut), path, trusted=["own_cuts.cut"])
    (tmp_path / "imported").unlink()
    del sys.modules["own_cuts"]
    message = r"function 'own_cuts\.cut'.*trusted=\['own_cuts\.cut'\] in Python, --trusted own_cuts\.cut on the command"
    with pytest.raises(ModelFileError, match=message):
        transferkit.load(path, trusted=trusted)
    assert transferkit.describe(path).class_name == "Pipeline"
    assert not (tmp_path / "imported").exists()


def test_description_shows_the_import_path(cuts, path):
    transferkit.save(TfidfEncoder(tokenizer=cuts.cut, token_pattern=None).fit(TEXTS), path, trusted=[cuts.cut])
    assert transferkit.describe(path).parameters["tokenizer"] == "own_cuts.cut"


def test_function_that_is_not_trusted_is_not_saved(cuts, path):
    with pytest.raises(ModelFileError, match=r"tokenizer is a function.*save\(\.\.\., trusted=\['own_cuts\.cut'\]\)"):
        transferkit.save(fit_texts(cuts.cut), path)
    original, cuts.cut = cuts.cut, cuts.clean
    with pytest.raises(ModelFileError, match=r"tokenizer is a function.* if that imports this very function"):
        transferkit.save(fit_texts(original), path, trusted=["own_cuts.cut"])
    assert not path.exists()


def in_main(text):
    return list(text)


def test_functions_without_an_import_path_are_refused_with_advice(cuts, path, monkeypatch):
    monkeypatch.setattr(in_main, "__module__", "__main__")
    for function, name in [
        (cuts.a_lambda, r"own_cuts\.<lambda>"),
        (cuts.nested, r"own_cuts\.make\.<locals>\.cut"),
        (in_main, r"__main__\.in_main"),
    ]:
        with pytest.raises(ModelFileError, match=f"tokenizer is a function .*{name}.* top level of a module"):
            transferkit.save(fit_texts(function), path, trusted=[function])
    for function, kind in [(functools.partial(cuts.cut), "partial"), (cuts.Cutter().method, "method")]:
        with pytest.raises(ModelFileError, match=f"tokenizer is a {kind}, .* Write a function of a module"):
            transferkit.save(fit_texts(function), path, trusted=["own_cuts.cut"])
    assert not path.exists()


def test_functions_of_other_packages_are_loaded_where_they_are_named(path):
    X = np.random.RandomState(0).rand(20, 3)
    model = FunctionTransformer(np.log1p).fit(X)
    transferkit.save(model, path, trusted=["numpy.log1p"])
    np.testing.assert_array_equal(transferkit.load(path, trusted=[np.log1p]).transform(X), np.log1p(X))
    for other in ("os.system", "subprocess.call", "builtins.eval"):
        node = {"function": other}
        rewrite(path, lambda metadata, node=node: state_of(metadata, "FunctionTransformer").update(func=node))
        for trusted in (None, ["numpy.log1p"]):
            with pytest.raises(ModelFileError, match=f"uses the function '{other}'"):
                transferkit.load(path, trusted=trusted, verify=None)
    assert transferkit.load(path, trusted=["builtins.eval"], verify=None).func is eval


OTHER_THINGS = ["own_cuts.number", "own_cuts.Cutter", "own_cuts.absent", "no_such_module.cut", 7, None, ["x"]]


@pytest.mark.parametrize("name", OTHER_THINGS)
def test_names_of_other_things_are_refused(name, cuts, path):
    transferkit.save(fit_texts(cuts.cut), path, trusted=["own_cuts.cut"])
    rewrite(path, lambda metadata: state_of(metadata, "TfidfEncoder").update(tokenizer={"function": name}))
    with pytest.raises(ModelFileError, match=r"not a function|cannot be imported|uses the function"):
        transferkit.load(path, trusted=[name] if isinstance(name, str) else None)


def test_every_message_names_python_and_the_command_line(path):
    torch = pytest.importorskip("torch")
    transferkit.save(TorchEncoder(torch.nn.Linear(2, 2)).fit(np.eye(2, dtype=np.float32)), path)

    def rename(metadata):
        metadata.update(json.loads(json.dumps(metadata).replace("torch.nn.Linear", "own.Net")))

    rewrite(path, rename)
    with pytest.raises(ModelFileError, match=r"trusted=\['own\.Net'\] in Python, --trusted own\.Net on the command"):
        transferkit.load(path)
    entry = {"class": "transferkit.encoders.SentenceEncoder", "state": {"model": "m2v"}}
    rewrite(path, lambda metadata: metadata.update(estimators=[entry]))
    with pytest.raises(ModelFileError, match=r"trusted=\['m2v'\] in Python, --trusted m2v on the command line"):
        transferkit.load(path)
