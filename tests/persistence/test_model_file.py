"""Model files hold every estimator, run no code, and are either intact or reported as damaged."""

import contextlib
import functools
import importlib.util
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import safetensors.numpy
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, PCA, TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    LabelBinarizer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC

import transferkit
from transferkit import LogisticHead, LSAEncoder, PretrainedEncoder, TfidfEncoder, TransferClassifier
from transferkit.exceptions import ModelFileError
from transferkit.persistence import _container, _model_file
from transferkit.persistence._allowed import ALLOWED, class_of_name

TEXTS = ["a matrix has rows", "rows of a matrix", "a vector has entries", "entries of a vector", "naïve Ω"] * 4
LABELS = ["matrix", "matrix", "vector", "vector", "other"] * 4
X, Y = np.random.RandomState(0).rand(40, 6), np.arange(40) % 3


TEXT_MODELS = {
    "tfidf": lambda: TfidfEncoder(ngram_range=(1, 2), stop_words=["of"]).fit(TEXTS),
    "lsa": lambda: LSAEncoder(n_components=3).fit(TEXTS),
    "frozen": lambda: PretrainedEncoder(fit_model("lsa")),
    "transfer": lambda: TransferClassifier(fit_model("lsa")).fit(TEXTS, LABELS),
    "scratch": lambda: TransferClassifier(strategy="scratch").fit(TEXTS, LABELS),
    "transfer with svc": lambda: TransferClassifier(fit_model("lsa"), LinearSVC()).fit(TEXTS, LABELS),
    "pipeline": lambda: make_pipeline(PretrainedEncoder(fit_model("lsa")), StandardScaler(), LogisticHead()).fit(
        TEXTS, LABELS
    ),
    "union": lambda: make_pipeline(make_union(TfidfEncoder(), LSAEncoder(2)), ComplementNB())[:1].fit(TEXTS),
    "tfidf and ridge": lambda: make_pipeline(TfidfEncoder(), RidgeClassifier()).fit(TEXTS, LABELS),
}
NUMBER_MODELS = {
    "head": lambda: LogisticHead().fit(X, Y),
    "head on sparse": lambda: LogisticHead().fit(sparse.csr_matrix(X), Y),
    "logistic regression": lambda: make_pipeline(StandardScaler(), PCA(3), LogisticRegression()).fit(X, Y),
    "ridge": lambda: make_pipeline(MinMaxScaler(), Ridge()).fit(X, X[:, :2]),
    "svd": lambda: make_pipeline(MaxAbsScaler(), TruncatedSVD(2, random_state=0), RobustScaler()).fit(X),
    "nmf": lambda: NMF(2, init="nndsvda", max_iter=2000).fit(X),
    "k-means": lambda: KMeans(3, n_init=1, random_state=0).fit(X),
    "calibrated, sigmoid": lambda: CalibratedClassifierCV(LogisticHead(), method="sigmoid").fit(X, Y),
    "calibrated, isotonic": lambda: CalibratedClassifierCV(LogisticHead(), method="isotonic").fit(X, Y),
    "calibrated, temperature": lambda: CalibratedClassifierCV(LogisticHead(), method="temperature").fit(X, Y),
    "scratch on numbers": lambda: TransferClassifier(PCA(2).fit(X), strategy="frozen").fit(X, Y),
}


@functools.cache
def fit_model(name):
    """Return the model of that name, fitted when a test first needs it; tests only read it."""
    return {**TEXT_MODELS, **NUMBER_MODELS}[name]()


def predict(model, rows):
    for method in ("predict_proba", "decision_function", "transform", "predict"):
        if hasattr(model, method):
            output = getattr(model, method)(rows)
            return output.toarray() if sparse.issparse(output) else output
    raise AssertionError


@pytest.mark.parametrize("name", [*TEXT_MODELS, *NUMBER_MODELS])
@pytest.mark.parametrize("mmap", [True, False])
def test_loaded_model_predicts_the_same(name, mmap, tmp_path):
    model, rows = fit_model(name), X if name in NUMBER_MODELS else [*TEXTS[:5], "", "unknown words"]
    transferkit.save(model, tmp_path / "model.tk")
    loaded = transferkit.load(tmp_path / "model.tk", mmap=mmap)
    assert type(loaded) is type(model)
    np.testing.assert_allclose(predict(loaded, rows), predict(model, rows), rtol=1e-6)
    assert repr(getattr(loaded, "classes_", None)) == repr(getattr(model, "classes_", None))


@pytest.mark.parametrize(
    "name", [f"{module}.{name}" for module, names in ALLOWED.items() if module.startswith("sklearn") for name in names]
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # defaults on their way to change
def test_every_allowed_class_of_scikit_learn_comes_back(name, tmp_path):
    cls = class_of_name(name)
    arguments = {
        "Pipeline": {"steps": [("scale", StandardScaler()), ("pca", PCA(2))]},
        "FeatureUnion": {"transformer_list": [("scale", StandardScaler()), ("pca", PCA(2))]},
        "ColumnTransformer": {"transformers": [("a", PCA(1), [0, 1]), ("b", "drop", [2])], "remainder": "passthrough"},
        "QuantileTransformer": {"n_quantiles": 10},
        "CalibratedClassifierCV": {"estimator": LogisticRegression(), "method": "isotonic"},
        "FrozenEstimator": {"estimator": LogisticHead().fit(X, Y)},  # whose methods are those of the one inside
    }
    if cls.__name__.startswith("_"):
        pytest.skip("part of CalibratedClassifierCV, which is tested with each of its methods")
    model = cls(**arguments.get(cls.__name__, {}))
    one_column = {"LabelBinarizer": Y, "IsotonicRegression": X[:, 0]}.get(cls.__name__)
    model = model.fit(X, Y) if one_column is None else model.fit(*[one_column, Y][: 1 + (cls is not LabelBinarizer)])
    transferkit.save(model, tmp_path / "model.tk")
    loaded, rows = transferkit.load(tmp_path / "model.tk", verify="full"), X if one_column is None else one_column
    np.testing.assert_allclose(predict(loaded, rows), predict(model, rows), rtol=1e-9)


def test_loaded_arrays_are_mapped_and_read_only(tmp_path):
    transferkit.save(LogisticHead().fit(X, Y), tmp_path / "model.tk")
    coef = transferkit.load(tmp_path / "model.tk").coef_
    assert not coef.flags.writeable
    base = coef
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)


def test_values_of_every_kind_come_back(tmp_path):
    values = {
        "none": None, "flag": True, "whole": 10**20, "real": 0.1, "nan": float("nan"), "infinite": -float("inf"),
        "text": "Ω\ud800", "list": [1, [2.5, "x"]], "tuple": (1, (2,)), "set": {"b", "a"},
        "slice": slice(1, None, 2), "dict": {"k": (1,), 2: None},
        "scalar": np.float32(0.1), "bool scalar": np.bool_(False), "np text": np.str_("t"), "type": np.float32,
        "dtype": np.dtype(np.int64), "array": np.eye(3, dtype=np.float16), "empty": np.zeros((0, 3)),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "texts": np.array(["a", "bcd"]),
        "objects": np.array(["a", None, 3], dtype=object), "object texts": np.array([["a", "ä"]], dtype=object),
        "csr": sparse.csr_matrix(np.eye(2)), "csc": sparse.csc_array(np.eye(2)),
    }  # fmt: skip
    model = FunctionTransformer().fit(X)
    model.kw_args = values
    transferkit.save(model, tmp_path / "model.tk")
    loaded = transferkit.load(tmp_path / "model.tk").kw_args
    assert list(loaded) == list(values)
    for name, value in values.items():
        assert type(loaded[name]) is type(np.str_("t").item() if name == "np text" else value)
        if sparse.issparse(value):
            assert (loaded[name] != value).nnz == 0
        elif isinstance(value, (np.ndarray, np.generic)) and name != "np text":
            np.testing.assert_array_equal(loaded[name], value)
            assert loaded[name].dtype == value.dtype
            assert np.asarray(loaded[name]).flags.f_contiguous == np.asarray(value).flags.f_contiguous
        else:
            assert repr(loaded[name]) == repr(value) or loaded[name] == value


def test_shared_parts_are_stored_once(tmp_path):
    encoder = LSAEncoder(3).fit(TEXTS)
    transferkit.save(make_pipeline(PretrainedEncoder(encoder), PCA(2)).fit(TEXTS), tmp_path / "one.tk")
    both = TransferClassifier(encoder, strategy="frozen").fit(TEXTS, LABELS)  # holds it twice
    transferkit.save(both, tmp_path / "two.tk")
    made_of = transferkit.describe(tmp_path / "two.tk").estimators
    assert made_of.count("transferkit.encoders.LSAEncoder") == 1
    loaded = transferkit.load(tmp_path / "two.tk")
    assert loaded.encoder is loaded.encoder_.encoder_


def test_path_of_the_encoder_is_replaced_by_the_encoder(tmp_path):
    path = tmp_path / "encoder.tk"
    transferkit.save(LSAEncoder(3).fit(TEXTS), path)
    model = TransferClassifier(path, strategy="frozen").fit(TEXTS, LABELS)
    transferkit.save(model, tmp_path / "model.tk")
    expected = model.predict_proba(TEXTS)
    path.unlink()
    np.testing.assert_allclose(transferkit.load(tmp_path / "model.tk").predict_proba(TEXTS), expected, rtol=1e-6)
    assert b"encoder.tk" not in (tmp_path / "model.tk").read_bytes()  # nor does the file tell where it was


def test_model_is_served_by_a_process_without_torch(run_without_torch, tmp_path):
    model = TransferClassifier(LSAEncoder(3).fit(TEXTS)).fit(TEXTS, LABELS)
    transferkit.save(model, tmp_path / "model.tk")
    code = (
        "import sys, json, transferkit\n"
        "model = transferkit.load(sys.argv[1])\n"
        "print(json.dumps(model.predict_proba(json.loads(sys.argv[2])).tolist()))"
    )
    answer = json.loads(run_without_torch(code, tmp_path / "model.tk", json.dumps(TEXTS)))
    np.testing.assert_allclose(answer, model.predict_proba(TEXTS), atol=1e-6)


def test_describe_reads_the_header(tmp_path):
    transferkit.save(TransferClassifier(strategy="scratch").fit(TEXTS, LABELS), tmp_path / "model.tk")
    description = transferkit.describe(tmp_path / "model.tk")
    assert description.class_name == "TransferClassifier"
    assert description.classes == ["matrix", "other", "vector"]
    assert description.parameters["strategy"] == "'scratch'"
    assert description.n_bytes == (tmp_path / "model.tk").stat().st_size
    assert description.parameters["head"] == "None"
    assert "3: matrix, other, vector" in str(description)
    assert "strategy='scratch'\n" in str(description)
    assert json.loads(json.dumps(description.to_dict()))["format"] == 2


def test_describe_reads_what_a_transfer_estimator_learned(tmp_path):
    encoder = transferkit.WordVectorEncoder(4, min_count=1).fit(TEXTS)
    model = TransferClassifier(encoder, LogisticHead(), strategy="frozen").fit(TEXTS, LABELS)
    model = transferkit.SelectiveClassifier(FrozenEstimator(model), coverage=0.9, cv=2).fit(TEXTS, LABELS)
    transferkit.save(model, tmp_path / "model.tk")
    description, fitted = transferkit.describe(tmp_path / "model.tk"), model.estimator_.estimator
    assert (description.strategy, description.encoder) == ("frozen", "PretrainedEncoder(WordVectorEncoder)")
    assert description.summary == fitted.summary_
    counts = ", ".join(f"{name} {list(LABELS).count(name)}" for name in ("matrix", "other", "vector"))
    assert f"labels     {len(LABELS)}: {counts}\n" in str(description)
    assert f"held out   {fitted.summary_['text']}\n" in str(description)
    transferkit.save(TransferClassifier(strategy="scratch").fit(TEXTS, LABELS), tmp_path / "model.tk")
    parts = "FeatureUnion(words: TfidfEncoder, characters: TfidfEncoder)"
    assert transferkit.describe(tmp_path / "model.tk").encoder in (parts, "TfidfEncoder")
    transferkit.save(encoder, tmp_path / "model.tk")
    assert transferkit.describe(tmp_path / "model.tk").summary is None


@pytest.mark.parametrize(
    ("sizes", "text"), [([2] * 11, "22: 2 of each class"), ([3] + [2] * 10, "from 2 (b) to 3 (a)")]
)
def test_labels_of_many_classes_are_summed_up(sizes, text, tmp_path):
    labels = [name for name, size in zip("abcdefghijk", sizes, strict=True) for _ in range(size)]
    model = TransferClassifier(strategy="scratch").fit([f"{label} text" for label in labels], labels)
    transferkit.save(model, tmp_path / "model.tk")
    description = str(transferkit.describe(tmp_path / "model.tk"))
    assert text in description
    assert "11: a, b, c, d, e, f, g, h, i, j, ...\n" in description


def test_file_has_the_mode_that_the_umask_gives(tmp_path):
    (tmp_path / "plain").touch()
    transferkit.save(PCA(2).fit(X), tmp_path / "model.tk")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "model.tk")}
    assert len(modes) == 1


class Unlisted(BaseEstimator):
    def fit(self, X, y=None):
        self.fitted_ = True
        return self


@pytest.mark.parametrize(
    ("make_model", "message"),
    [
        (
            lambda: RandomForestClassifier(n_estimators=2).fit(X, Y),
            "RandomForestClassifier is a RandomForestClassifier",
        ),
        (lambda: Unlisted().fit(X), "only plain data and estimators"),
        (lambda: FunctionTransformer(np.log1p).fit(X), r"FunctionTransformer.func is a ufunc"),
        (lambda: PCA(2, random_state=np.random.RandomState(0)).fit(X), "give random_state as an int"),
        (lambda: make_pipeline(PCA(2), RandomForestClassifier(2)).fit(X, Y), r"Pipeline.steps\[1\]\[1\]"),
        (lambda: {"not": "an estimator"}, "Only estimators can be saved"),
    ],
)
def test_state_that_is_not_plain_data_is_rejected_by_place(make_model, message, tmp_path):
    model = make_model()
    with pytest.raises(ModelFileError, match=message):
        transferkit.save(model, tmp_path / "model.tk")
    assert list(tmp_path.iterdir()) == []


def test_unfitted_estimator_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError, match="This LSAEncoder is not fitted, so there is nothing to save"):
        transferkit.save(LSAEncoder(), tmp_path / "model.tk")


def test_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.tk' cannot be written: its folder does not exist"):
        transferkit.save(PCA(2).fit(X), tmp_path / "no" / "model.tk")
    with pytest.raises(IsADirectoryError, match="a folder has that name"):
        transferkit.save(PCA(2).fit(X), tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04K\x01.", b"x" * 1000, b"\x02" + b"\0" * 7 + b"{}"])
def test_unrecognised_file_is_named(content, tmp_path):
    path = tmp_path / "model.tk"
    path.write_bytes(content)
    for read in (transferkit.load, transferkit.describe):
        with pytest.raises(ModelFileError, match=r"model\.tk' is not a transferkit model file"):
            read(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r"There is no model file .*model\.tk"):
        transferkit.load(tmp_path / "model.tk")
    assert issubclass(ModelFileError, ValueError)


@pytest.fixture
def model_path(tmp_path):
    path = tmp_path / "model.tk"
    transferkit.save(TransferClassifier(LSAEncoder(3).fit(TEXTS), strategy="frozen").fit(TEXTS, LABELS), path)
    return path


def test_cut_off_file_is_refused_at_every_length(model_path):
    content = model_path.read_bytes()
    for length in [*range(0, len(content), max(1, len(content) // 60)), len(content) - 1]:
        model_path.write_bytes(content[:length])
        with pytest.raises(ModelFileError):
            transferkit.load(model_path)


def read(path):
    with _container.open_container(path) as file:
        header = _container.read_header(file)
        return header, _container.read_arrays(file, header, mmap=False)


def test_changed_numbers_are_noticed_by_the_probe(model_path):
    header, _ = read(model_path)
    content = bytearray(model_path.read_bytes())
    largest = max(header.table.values(), key=lambda entry: entry["data_offsets"][1] - entry["data_offsets"][0])
    begin, end = largest["data_offsets"]
    place = slice(header.start + begin, header.start + end)
    content[place] = bytes(reversed(content[place]))
    model_path.write_bytes(content)
    with pytest.raises(ModelFileError, match="gives other results than when it was saved"):
        transferkit.load(model_path)
    assert transferkit.load(model_path, verify=None).classes_.tolist() == ["matrix", "other", "vector"]


def rewrite(path, change):
    """Write the file again with changed metadata."""
    header, arrays = read(path)
    change(header.metadata)
    _container.write_container(path, arrays, header.metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format=3), "has format 3, and this transferkit reads formats up to 2"),
        (lambda m: m.update(format=None), "has no format number"),
        (lambda m: m["estimators"][0].update({"class": "subprocess.Popen"}), "not among the classes that may be"),
        (lambda m: m["estimators"][0].update({"class": "sklearn.ensemble.RandomForestClassifier"}), "not among"),
        (lambda m: m["estimators"][0]["state"].update(transform="x"), "sets 'transform', which is not part"),
        (lambda m: m["estimators"][0]["state"].update(__class__="x"), "sets '__class__', which is not part"),
        (lambda m: m["estimators"][0]["state"].update(_parameter_constraints={"dict": []}), "not part of the state"),
        (lambda m: m.update(root={"nonsense": 1}), "is damaged"),
        (lambda m: m.update(root={"estimator": 99}), "is damaged"),
        (lambda m: m.update(root={"array": "99"}), "is damaged"),
        (lambda m: m.update(root={"number": ["datetime64", "1"]}), "is damaged"),
        (lambda m: m.update(root={"sparse": ["csr", "matrix", [2, 2], [1.0], [7], [0, 1, 1]]}), "is damaged"),
        (lambda m: m.pop("estimators"), "is damaged"),
        (lambda m: m.pop("probe"), "is damaged"),
    ],
)  # fmt: skip
def test_file_that_asks_for_more_than_data_is_refused(model_path, change, message):
    rewrite(model_path, change)
    with pytest.raises(ModelFileError, match=message):
        transferkit.load(model_path)


@pytest.mark.parametrize("change", [lambda e: e.update(shape=[10**12]), lambda e: e.update(data_offsets=[0, 10**12]),
                                    lambda e: e.update(dtype="F128"), lambda e: e.update(shape=[-1, -1]),
                                    lambda e: e.update(shape="x"), lambda e: e.clear()])  # fmt: skip
def test_table_that_does_not_fit_the_file_is_refused(model_path, change):
    content = model_path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header["0"])
    text = json.dumps(header, separators=(",", ":")).encode()
    model_path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    with pytest.raises(ModelFileError, match=r"model\.tk' is damaged"):
        transferkit.load(model_path)


def test_one_changed_bit_is_noticed_in_full(model_path):
    transferkit.load(model_path, verify="full")
    content = model_path.read_bytes()
    random = np.random.RandomState(0)
    for position in random.randint(0, len(content), size=60):
        changed = bytearray(content)
        changed[position] ^= 1
        model_path.write_bytes(changed)
        with pytest.raises(ModelFileError):
            transferkit.load(model_path, verify="full")


def test_card_comes_back_and_names_the_model(tmp_path):
    card = {"accuracy": 0.9, "notes": ["trained on Ω"], "nested": {"n": 1}}
    transferkit.save(PCA(2).fit(X), tmp_path / "a.tk", card=card)
    transferkit.save(PCA(2).fit(X + X**2), tmp_path / "b.tk")
    first, second = (transferkit.describe(tmp_path / name) for name in ("a.tk", "b.tk"))
    assert first.card == card
    assert second.card == {}
    assert "card accuracy 0.9" in str(first)
    assert first.digest != second.digest
    assert not first.signed
    for bad in ("text", {"x": object()}, {"x": float("nan")}):
        with pytest.raises(ValueError, match="The 'card' parameter of save must be a dict of JSON data"):
            transferkit.save(PCA(2).fit(X), tmp_path / "c.tk", card=bad)
    assert not (tmp_path / "c.tk").exists()


def test_signature_is_checked_against_the_key(tmp_path):
    path = tmp_path / "model.tk"
    transferkit.save(PCA(2).fit(X), path, sign_key=b"secret")
    assert transferkit.describe(path).signed
    np.testing.assert_array_equal(transferkit.load(path, verify_key=b"secret").components_, PCA(2).fit(X).components_)
    transferkit.load(path)
    with pytest.raises(ModelFileError, match="is not signed with the given key"):
        transferkit.load(path, verify_key=b"other")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="is not signed with the given key"):
        transferkit.load(path, verify_key=b"secret", verify=None)
    transferkit.save(PCA(2).fit(X), path)
    with pytest.raises(ModelFileError, match="is not signed with the given key"):
        transferkit.load(path, verify_key=b"secret")
    for bad in ("text", b""):
        with pytest.raises(ValueError, match="must be non-empty bytes"):
            transferkit.save(PCA(2).fit(X), path, sign_key=bad)
        with pytest.raises(ValueError, match="must be non-empty bytes"):
            transferkit.load(path, verify_key=bad)


def test_file_replaced_under_a_loaded_model_leaves_the_model_as_it_was(model_path):
    model = transferkit.load(model_path)
    expected = model.predict_proba(TEXTS).copy()
    transferkit.save(PCA(2).fit(X), model_path)
    np.testing.assert_array_equal(model.predict_proba(TEXTS), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process with a POSIX signal")
def test_killed_while_saving_leaves_the_old_or_the_new_file(tmp_path):
    code = """
import os, signal, sys, time
import numpy as np
import transferkit
from sklearn.decomposition import PCA

X = np.random.RandomState(0).rand(60, 20_000)
models = [PCA(50, random_state=0).fit(sign * X) for sign in (1, -1)]
transferkit.save(models[0], sys.argv[1])
for delay in np.arange(0.01, 0.16, 0.01):
    child = os.fork()
    while child == 0:
        for model in models:
            transferkit.save(model, sys.argv[1])
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(transferkit.load(sys.argv[1], verify="full").components_.shape)
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "model.tk")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert result.stdout.splitlines() == ["(50, 20000)"] * 15, result.stderr


def test_random_bytes_changed_never_raise_anything_else(model_path):
    content, random = model_path.read_bytes(), np.random.RandomState(0)
    for _ in range(300):
        changed = bytearray(content)
        for position in random.randint(0, len(content), size=random.randint(1, 4)):
            changed[position] = random.randint(256)
        model_path.write_bytes(changed)
        with contextlib.suppress(ModelFileError):
            transferkit.load(model_path)


def test_failed_write_keeps_the_old_file(model_path, monkeypatch):
    before = model_path.read_bytes()

    def write_half(arrays, path, metadata):
        path.write_bytes(before[:100])
        raise OSError("No space left on device")

    monkeypatch.setattr(safetensors.numpy, "save_file", write_half)
    with pytest.raises(OSError, match="No space left"):
        transferkit.save(PCA(2).fit(X), model_path)
    assert model_path.read_bytes() == before
    assert os.listdir(model_path.parent) == ["model.tk"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="sets a limit on the size of files, which needs POSIX")
def test_full_disk_keeps_the_old_file(model_path):
    before = model_path.read_bytes()
    code = (
        "import resource, signal, sys, transferkit; from sklearn.decomposition import PCA; import numpy as np\n"
        "model = PCA(200).fit(np.random.RandomState(0).rand(300, 3000))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n    transferkit.save(model, sys.argv[1])\nexcept OSError as error:\n    print('refused', error)"
    )
    result = subprocess.run([sys.executable, "-c", code, str(model_path)], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("refused"), result.stderr
    assert model_path.read_bytes() == before
    assert os.listdir(model_path.parent) == ["model.tk"]


def test_verify_is_checked(model_path):
    with pytest.raises(ValueError, match="The 'verify' parameter of load must be"):
        transferkit.load(model_path, verify="yes")


def test_every_public_estimator_may_be_stored():
    classes = {name: getattr(transferkit, name) for name in transferkit.__all__}
    estimators = {name for name, cls in classes.items() if isinstance(cls, type) and issubclass(cls, BaseEstimator)}
    stored = {name for module, names in ALLOWED.items() if module.startswith("transferkit") for name in names}
    assert estimators == stored - {"EncoderReference"}


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_joblib_and_pickle_files_predict_the_same(name, tmp_path):
    model = fit_model(name)
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(predict(loaded, TEXTS), predict(model, TEXTS))


def test_probe_holds_no_text_of_the_user(tmp_path):
    secret = ["the patient Jane Roe has asthma and takes the drug", "another note about the drug"] * 3
    model = TransferClassifier(strategy="scratch").fit(secret, [0, 1] * 3)
    assert all(text not in " ".join(_model_file.make_probe(model)["X"]) for text in secret)


def test_loading_imports_only_modules_of_the_model(tmp_path):
    model = make_pipeline(transferkit.TfidfEncoder(), transferkit.LogisticHead()).fit(["a text", "two words"], [0, 1])
    transferkit.save(model, tmp_path / "model.tk")
    needless = ["torch", "safetensors", "sklearn.linear_model", "sklearn.metrics", "sklearn.model_selection"]
    others = ("transfer", "encoders.networks._autoencoder", "heads.linear._logistic_cv")
    needless += [f"transferkit.{name}" for name in others]
    assert all(map(importlib.util.find_spec, needless))
    code = (
        "import sys, transferkit; transferkit.load(sys.argv[1]).predict_proba(['some words'])\n"
        f"print([name for name in {needless} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.tk")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_describing_a_file_does_not_import_scikit_learn():
    path = Path(__file__).parents[1] / "saved" / "format2-text.tk"
    code = "import sys, transferkit; transferkit.describe(sys.argv[1]); print('sklearn' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
