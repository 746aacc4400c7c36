"""A file from a stranger runs no code, opens nothing else, and cannot make loading large or long."""

import copy
import inspect
import json
import os
import pickle
import subprocess
import sys
import tempfile
import textwrap
import zlib
from pathlib import Path

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import transferkit
from transferkit import LogisticHead, LSAEncoder, PretrainedEncoder, TfidfEncoder, TransferClassifier
from transferkit.exceptions import ModelFileError, ModelVersionWarning
from transferkit.persistence import _container, _probe
from transferkit.transfer import EncoderReference

TEXTS = ["a matrix has rows", "rows of a matrix", "a vector has entries", "entries of a vector", "naïve Ω"] * 4
LABELS = ["matrix", "matrix", "vector", "vector", "other"] * 4
X, Y = np.random.RandomState(0).rand(40, 6), np.arange(40) % 3


def rewrite(path, change):
    """Write the file again with changed metadata and arrays, and a digest that is right."""
    with _container.open_container(path) as file:
        header = _container.read_header(file)
        arrays = _container.read_arrays(file, header, mmap=False)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(header.metadata, arrays)
    _container.write_container(path, arrays, header.metadata)


def state_of(metadata, class_name):
    return next(e["state"] for e in metadata["estimators"] if e["class"].rpartition(".")[2] == class_name)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.tk"


class Doubler(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.factor_ = np.float64(2)
        return self

    def transform(self, X):
        return self.factor_ * np.asarray(X)


@pytest.mark.parametrize("trusted", [[Doubler], (f"{Doubler.__module__}.Doubler", "not.needed")])
def test_trusted_class_is_saved_and_loaded(trusted, path):
    model = make_pipeline(Doubler(), LogisticHead()).fit(X, Y)
    with pytest.raises(ModelFileError, match=r"is a Doubler, and only plain data .* name it: trusted="):
        transferkit.save(model, path)
    transferkit.save(model, path, trusted=trusted)
    with pytest.raises(ModelFileError, match=r"Doubler', which is not among the classes .* name it: trusted="):
        transferkit.load(path)
    loaded = transferkit.load(path, trusted=trusted)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_trusted_class_is_built_without_its_code(path, tmp_path, monkeypatch):
    source = """
        from pathlib import Path
        from sklearn.base import BaseEstimator
        class Loud(BaseEstimator):
            def __new__(cls, *args):
                (Path(__file__).parent / "ran").touch()
                return super().__new__(cls)
            def __setstate__(self, state):
                (Path(__file__).parent / "ran").touch()
            def fit(self, X, y=None):
                self.fitted_ = True
                return self
    """
    (tmp_path / "loud_module.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    from loud_module import Loud

    transferkit.save(Loud().fit(X), path, trusted=["loud_module.Loud"])
    (tmp_path / "ran").unlink()
    assert transferkit.load(path, trusted=["loud_module.Loud"]).fitted_
    assert not (tmp_path / "ran").exists()


def test_nothing_is_imported_that_was_not_named(path, tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(tmp_path)
    transferkit.save(PCA(2).fit(X), path)
    rewrite(path, lambda m, a: m["estimators"][0].update({"class": "evil_module.Evil"}))
    for trusted in (None, [], ["evil_module.Other"], [f"{Doubler.__module__}.Doubler"]):
        with pytest.raises(ModelFileError, match=r"holds a 'evil_module\.Evil'"):
            transferkit.load(path, trusted=trusted)


def test_bad_trusted_is_named(path):
    transferkit.save(PCA(2).fit(X), path)
    for bad in ("os.system", PCA, [7]):
        with pytest.raises(ValueError, match="The 'trusted' parameter of load must be a list of full names"):
            transferkit.load(path, trusted=bad)
    rewrite(path, lambda m, a: m["estimators"][0].update({"class": "os.system"}))
    with pytest.raises(ModelFileError, match=r"'os\.system' is a builtin_function_or_method, not a class"):
        transferkit.load(path, trusted=["os.system"])
    rewrite(path, lambda m, a: m["estimators"][0].update({"class": "no_such.Thing"}))
    with pytest.raises(ModelFileError, match=r"'no_such\.Thing' cannot be imported"):
        transferkit.load(path, trusted=["no_such.Thing"])


@pytest.mark.parametrize(
    "key", ["evil", "predict", "_repr_html_", "__class__", "_metadata_request", "a b", "n_features_"]
)
def test_attribute_that_the_class_does_not_have_is_refused(key, path):
    transferkit.save(LogisticHead().fit(X, Y), path)
    rewrite(path, lambda m, a: m["estimators"][0]["state"].update({key: 1}))
    with pytest.raises(ModelFileError, match=f"sets '{key}', which is not part of the state of a transferkit"):
        transferkit.load(path, verify=None)


def test_attribute_of_the_user_is_refused_when_saved(path):
    model = LogisticHead().fit(X, Y)
    model.note = "mine"
    with pytest.raises(
        ModelFileError, match=r"LogisticHead\.note is not an attribute that LogisticHead declares.*card="
    ):
        transferkit.save(model, path)


def test_path_in_a_file_is_not_opened(path, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(Bomb()))
    place = str(tmp_path / "bomb.pkl")
    encoder = LSAEncoder(3).fit(TEXTS)
    models = {
        "source": PretrainedEncoder(encoder),
        "encoder": TransferClassifier(encoder).fit(TEXTS, LABELS),
        "teacher": TransferClassifier(encoder).fit(TEXTS, LABELS),
        "prior": LogisticHead().fit(X, Y),
    }
    for parameter, model in models.items():
        transferkit.save(model, path)
        rewrite(path, lambda m, a, name=parameter: m["estimators"][-1]["state"].update({name: place}))
        for verify in ("probe", None):
            with pytest.raises(ModelFileError, match=f"names another file .*{parameter}"):
                transferkit.load(path, verify=verify)
    transferkit.save(make_pipeline(PCA(2)).fit(X), path)
    rewrite(path, lambda m, a: state_of(m, "Pipeline").update(memory=str(tmp_path)))
    with pytest.raises(ModelFileError, match="names a folder"):
        transferkit.load(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["shared-0.pkl", "../shared-0.tk", "/tmp/shared-0.tk", "..\\shared-0.tk", "", 1])
def test_task_refers_to_no_file_but_a_model_file_in_its_folder(name, path):
    transferkit.save(EncoderReference("shared-0.tk", "0" * 64), path)
    assert transferkit.load(path).name == "shared-0.tk"
    rewrite(path, lambda m, a: m["estimators"][0]["state"].update(name=name))
    with pytest.raises(ModelFileError, match=r"names another file .*which is not opened"):
        transferkit.load(path)


def test_paths_of_the_author_are_not_in_the_file(path, tmp_path):
    transferkit.save(LogisticHead().fit(X, Y), tmp_path / "source.tk")
    head = LogisticHead(prior=str(tmp_path / "source.tk")).fit(X, Y)
    transferkit.save(make_pipeline(head, memory=str(tmp_path / "cache")).fit(X, Y), path)
    loaded = transferkit.load(path)
    assert b"source.tk" not in path.read_bytes()
    assert b"cache" not in path.read_bytes()
    assert loaded.memory is None
    np.testing.assert_array_equal(loaded[0].prior.coef_, LogisticHead().fit(X, Y).coef_)


def test_names_of_files_are_not_opened_by_the_probe(path, tmp_path):
    transferkit.save(TfidfEncoder().fit(TEXTS), path)
    os.mkfifo(tmp_path / "waits for ever")

    def change(metadata, arrays):
        state_of(metadata, "TfidfEncoder")["input"] = "filename"
        metadata["probe"]["dict"][0][1] = [str(tmp_path / "waits for ever")]

    rewrite(path, change)
    assert transferkit.load(path, allow_file_input=True).input == "filename"


def test_endless_regular_expression_is_not_run_by_the_probe(path):
    transferkit.save(TfidfEncoder().fit(TEXTS), path)

    def change(metadata, arrays):
        state_of(metadata, "TfidfEncoder")["token_pattern"] = "(a|a)+$"
        metadata["probe"]["dict"][0][1] = ["a" * 60 + "b"]

    rewrite(path, change)
    assert transferkit.load(path).token_pattern == "(a|a)+$"


def test_parameters_of_other_types_are_no_surprise(path):
    transferkit.save(TfidfEncoder().fit(TEXTS), path)

    def change(metadata, arrays):
        state_of(metadata, "TfidfEncoder")["token_pattern"] = {"array": max(arrays, key=lambda name: arrays[name].size)}

    rewrite(path, change)
    assert len(transferkit.load(path).token_pattern) > 1  # an array, which no comparison may take for a bool


def test_estimators_within_estimators_are_bounded(path):
    transferkit.save(make_union(StandardScaler(), StandardScaler()).fit(X), path)

    def nest(metadata, arrays):
        entries = metadata["estimators"]
        union = copy.deepcopy(entries[-1])
        for _ in range(40):  # 2 ** 40 scalers for code that walks through them
            last = {"estimator": len(entries) - 1}
            steps = [{"tuple": ["a", last]}, {"tuple": ["b", last]}]
            entries.append({"class": union["class"], "state": {**union["state"], "transformer_list": steps}})
        metadata["root"] = {"estimator": len(entries) - 1}

    rewrite(path, nest)
    with pytest.raises(ModelFileError, match="estimators within estimators too often"):
        transferkit.load(path, verify=None)


def test_depth_is_bounded(path):
    transferkit.save(FunctionTransformer().fit(X), path)

    def nest(metadata, arrays):
        value = 1
        for _ in range(150):
            value = {"tuple": [value]}
        metadata["estimators"][0]["state"]["kw_args"] = value

    rewrite(path, nest)
    with pytest.raises(ModelFileError, match="more than 100 levels deep"):
        transferkit.load(path)


def test_strings_that_need_far_more_memory_than_the_file_are_refused(path):
    transferkit.save(LogisticHead().fit(X, np.array(["a", "b", "c"])[Y]), path)

    def grow(metadata, arrays):
        _, _, text, ends = state_of(metadata, "LogisticHead")["classes_"]["strings"]
        arrays[text] = np.full(100_000, ord("a"), np.uint8)
        arrays[ends] = np.full(100_000, 100_000, np.int64)  # would be 40 GB
        state_of(metadata, "LogisticHead")["classes_"]["strings"][1] = [100_000]

    rewrite(path, grow)
    with pytest.raises(ModelFileError, match="strings out of proportion"):
        transferkit.load(path)
    model = LogisticHead().fit(X, Y)
    model.classes_ = np.array(["a"] * 10_000 + ["b" * 10_000])
    with pytest.raises(ModelFileError, match="one long string in an array of many short ones"):
        transferkit.save(model, path)


@pytest.mark.parametrize(
    ("model", "data", "attribute", "change"),
    [
        (TfidfEncoder(vocabulary=["rows", "has"]), TEXTS, "_packed", lambda a: a + 1000),
        (TfidfEncoder(vocabulary=["rows", "has"]), TEXTS, "_packed", lambda a: a - 1000),
        (TfidfEncoder(vocabulary=["rows", "has"]), TEXTS, "_packed", lambda a: a[:-1]),
        (KMeans(3, n_init=1), X, "cluster_centers_", lambda a: a[:, :3].copy()),
    ],
)
def test_arrays_that_would_mislead_compiled_code_are_rejected(model, data, attribute, change, path):
    transferkit.save(clone(model).fit(data), path)

    def break_array(metadata, arrays):
        node = state_of(metadata, type(model).__name__)[attribute]
        node = node["tuple"][-1] if "tuple" in node else node
        arrays[node["array"]] = change(arrays[node["array"]])

    rewrite(path, break_array)
    with pytest.raises(ModelFileError, match="is damaged"):
        transferkit.load(path, verify=None)


def test_columns_in_files_of_format_1_are_checked(path):
    old = Path(__file__).parents[1] / "saved" / "format1-text.tk"
    for change in (lambda a: a + 1000, lambda a: a - 1000, lambda a: a[:-1]):
        path.write_bytes(old.read_bytes())

        def break_columns(metadata, arrays, change=change):
            name = state_of(metadata, "TfidfEncoder")["_columns"]["array"]
            arrays[name] = change(arrays[name])

        rewrite(path, break_columns)
        with pytest.raises(ModelFileError, match="is damaged"):
            transferkit.load(path, verify=None)


@pytest.mark.parametrize(
    ("n_bytes", "stream", "message"),
    [
        (10**9, zlib.compress(bytes(10**6)), "out of proportion"),
        (10**6, zlib.compress(bytes(10**8)), "another size"),
        (10**6, zlib.compress(bytes(10**5)), "another size"),
        (10**6, zlib.compress(bytes(10**6))[:-10], "another size"),
        (10**6, b"no stream of compressed bytes", "a compressed array is damaged"),
    ],
)
def test_compressed_arrays_are_bounded(n_bytes, stream, message, path):
    transferkit.save(TfidfEncoder().fit(TEXTS), path)

    def compress(metadata, arrays):
        arrays["stream"] = np.frombuffer(stream, np.uint8)
        state_of(metadata, "TfidfEncoder")["stop_words"] = {"deflated": ["uint8", [n_bytes], "stream"]}

    rewrite(path, compress)
    with pytest.raises(ModelFileError, match=message):
        transferkit.load(path, verify=None)


@pytest.mark.parametrize("last", [-1, 0, -(2**31), 10**6])
def test_rows_of_sparse_matrices_are_checked_where_scipy_does_not(last, path):
    model = Ridge(alpha=0.1).fit(X, Y)
    model.coef_ = sparse.csr_matrix(model.coef_)
    transferkit.save(model, path)

    def break_rows(metadata, arrays):
        *_, indptr = state_of(metadata, "Ridge")["coef_"]["sparse"]
        arrays[indptr["array"]][-1] = last

    rewrite(path, break_rows)
    with pytest.raises(ModelFileError, match="the rows of a sparse matrix do not fit its entries"):
        transferkit.load(path, verify=None)


def test_codes_of_rare_categories_are_checked(path):
    rows = np.array([["a"], ["b"], ["c"], ["c"]] * 3, dtype=object)
    transferkit.save(OneHotEncoder(min_frequency=5).fit(rows), path)

    def break_codes(metadata, arrays):
        for array in arrays.values():
            if array.dtype.kind == "i" and len(array) == 3 and array.tolist() == [1, 1, 0]:
                array[:] = 1_000_000

    rewrite(path, break_codes)
    with pytest.raises(ModelFileError, match="codes of categories out of range"):
        transferkit.load(path, verify=None)


def test_file_chooses_no_number_of_threads(path):
    transferkit.save(KMeans(3, n_init=1, random_state=0).fit(X), path)
    rewrite(path, lambda m, a: state_of(m, "KMeans").update(_n_threads=10**6))
    loaded = transferkit.load(path)
    assert loaded._n_threads <= (os.cpu_count() or 1)
    assert loaded.predict(X).shape == (40,)


def test_arrays_out_of_alignment_are_refused(path):
    transferkit.save(PCA(2).fit(X), path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for entry in header.values():
        if "data_offsets" in entry:
            entry["data_offsets"] = [place + 1 for place in entry["data_offsets"]]
    text = json.dumps(header, separators=(",", ":")).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\0" + content[8 + length :])
    with pytest.raises(ModelFileError, match="its arrays do not fit"):
        transferkit.load(path)


def test_newer_scikit_learn_is_warned_of(path):
    transferkit.save(PCA(2).fit(X), path)
    rewrite(path, lambda m, a: m["versions"].update({"scikit-learn": "99.1"}))
    with pytest.warns(ModelVersionWarning, match=r"written with scikit-learn 99\.1, and \d.* is installed"):
        transferkit.load(path)
    rewrite(path, lambda m, a: m["versions"].update({"scikit-learn": "1.99"}))
    transferkit.load(path)  # a minor version is no matter; an error here, since warnings are errors


def test_pickle_names_the_version_that_wrote_it(monkeypatch):
    head = LogisticHead().fit(X, Y)
    content = pickle.dumps(make_pipeline(head))
    loaded = pickle.loads(content)[0]
    assert "_transferkit_version" not in vars(loaded)
    np.testing.assert_array_equal(loaded.coef_, head.coef_)
    monkeypatch.setattr("transferkit._estimator.__version__", "99.0")
    with pytest.warns(ModelVersionWarning, match=r"LogisticHead was pickled with .*, and 99\.0 is installed"):
        pickle.loads(content)


def test_pickle_that_is_older_than_a_parameter_has_its_default():
    encoder = PretrainedEncoder(TfidfEncoder().fit(TEXTS))
    del encoder.trusted
    loaded = pickle.loads(pickle.dumps(encoder))
    assert loaded.trusted is None
    assert clone(loaded).transform(TEXTS).shape == encoder.transform(TEXTS).shape


@pytest.mark.parametrize("name", [name for name in transferkit.__all__ if name[0].isupper()])
def test_every_estimator_records_the_version(name):
    cls = getattr(transferkit, name)
    if not issubclass(cls, BaseEstimator):
        pytest.skip("not an estimator")
    required = [p for p in inspect.signature(cls).parameters.values() if p.default is p.empty]
    estimator = cls(*[LSAEncoder()] * len(required))
    assert estimator.__getstate__()["_transferkit_version"] == transferkit.__version__
    assert b"_transferkit_version" in pickle.dumps(estimator)


@pytest.fixture(params=["LSAEncoder", "TfidfEncoder", "TransferClassifier"])
def fitted(request):
    encoder = (TfidfEncoder() if request.param == "TfidfEncoder" else LSAEncoder(3)).fit(TEXTS)
    return TransferClassifier(encoder).fit(TEXTS, LABELS) if request.param == "TransferClassifier" else encoder


def test_pickle_protocol_5_keeps_arrays_out_of_band(fitted):
    buffers = []
    content = pickle.dumps(fitted, protocol=5, buffer_callback=buffers.append)
    assert len(buffers) > 3
    frozen = [bytes(buffer) for buffer in buffers]
    loaded = pickle.loads(content, buffers=frozen)
    method = "predict_proba" if hasattr(fitted, "predict_proba") else "transform"
    expected, output = (getattr(m, method)(TEXTS) for m in (fitted, loaded))
    assert abs(expected - output).max() == 0


def test_joblib_maps_the_arrays(fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    encoder = getattr(loaded, "encoder_", loaded)
    tfidf = getattr(getattr(encoder, "encoder_", encoder), "tfidf_", encoder)
    assert isinstance(tfidf.terms_.vocabulary.hashes, np.memmap)
    method = "predict_proba" if hasattr(fitted, "predict_proba") else "transform"
    expected, output = (getattr(m, method)(TEXTS) for m in (fitted, loaded))
    assert abs(expected - output).max() == 0


def test_description_is_shown_in_a_notebook_with_its_markup_escaped(path):
    model = LogisticHead().fit(X, np.array(["<b>", "&", "c"])[Y])
    transferkit.save(model, path, card={"notes": "<script>alert(1)</script>"})
    html = transferkit.describe(path)._repr_html_()
    assert "&lt;b&gt;" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html


NO_ENCODER = {"encoder_": {"estimator": 9}}  # which the file does not have


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["summary"].update(classes=[1, 2]),
        lambda m: m["summary"].update(n_classes=None),
        lambda m: m["summary"].update(n_features_in="six"),
        lambda m: m["summary"].update(changed=["unknown"]),
        lambda m: m["summary"].update(changed=5),
        lambda m: m["summary"].update(parameters=["C"]),
        lambda m: m["summary"]["parameters"].update(C=1),
        lambda m: m["estimators"][0].update({"class": 5}),
        lambda m: m.update(created=None),
        lambda m: m.update(versions=["numpy"]),
        lambda m: m.update(card=["notes"]),
        lambda m: m.update(summary=[]),
        lambda m: m.pop("card"),
        lambda m: m["estimators"][0].update({"class": "transferkit.transfer.TransferClassifier", "state": 5}),
        lambda m: m["estimators"].append(
            {"class": "transferkit.transfer.X", "state": {"strategy_": "a", **NO_ENCODER}}
        ),
    ],
)
def test_description_of_other_types_is_damaged(change, path):
    transferkit.save(LogisticHead().fit(X, Y), path)
    rewrite(path, lambda metadata, arrays: change(metadata))
    with pytest.raises(ModelFileError, match="is damaged: its description"):
        transferkit.describe(path)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="POSIX")
def test_read_only_folder_is_named_and_left_alone():
    code = (
        "import os, sys, numpy as np, transferkit; from sklearn.decomposition import PCA\n"
        "model = PCA(2).fit(np.eye(5)); transferkit.save(model, sys.argv[1])\n"
        "before = open(sys.argv[1], 'rb').read(); os.chmod(os.path.dirname(sys.argv[1]), 0o555)\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"  # the super-user may write everywhere
        "try:\n    transferkit.save(model, sys.argv[1])\nexcept PermissionError as error:\n    print(error)\n"
        "assert open(sys.argv[1], 'rb').read() == before"
    )
    with tempfile.TemporaryDirectory() as folder:  # unlike tmp_path one that other users can reach
        path = os.path.join(folder, "model.tk")
        result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
        left = os.listdir(folder)
        os.chmod(folder, 0o755)
    assert f"The model file {path!r} cannot be written: Permission denied." in result.stdout, result.stderr
    assert result.returncode == 0, result.stderr
    assert left == ["model.tk"]


def test_two_processes_that_save_to_one_name_leave_one_intact_file(path):
    code = (
        "import sys, numpy as np, transferkit; from sklearn.decomposition import PCA\n"
        "model = PCA(int(sys.argv[2])).fit(np.random.RandomState(0).rand(60, 3000))\n"
        "for _ in range(40): transferkit.save(model, sys.argv[1])\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)]) for n in (20, 40)]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            seen.add(len(transferkit.load(path, verify="full").components_))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {20, 40}
    assert len(transferkit.load(path, verify="full").components_) in (20, 40)
    assert os.listdir(path.parent) == ["model.tk"]


def test_probe_runs_in_this_process(path, monkeypatch):
    transferkit.save(make_union(StandardScaler(), StandardScaler()).fit(X), path)
    rewrite(path, lambda m, a: state_of(m, "FeatureUnion").update(n_jobs=64))
    backends = []
    real = _probe._agrees
    monkeypatch.setattr(_probe, "_agrees", lambda *a: backends.append(joblib.effective_n_jobs(64)) or real(*a))
    assert transferkit.load(path).n_jobs == 64
    assert backends == [1]
