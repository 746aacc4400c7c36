"""The contract of every estimator that takes long: scikit-learn's callbacks see its progress and change nothing."""

import pickle
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.callback import CallbackSupportMixin, ProgressBar
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

import transferkit
from transferkit import adaptation, encoders, heads, selection, transfer
from transferkit.adaptation import CORAL

TEXTS = ["the cat sat on the mat", "a dog and a cat ran", "rows of a matrix", "the vector has entries"] * 6
LABELS = np.array(["pet", "pet", "algebra", "algebra"] * 6)
NUMBERS = np.random.RandomState(0).normal(size=(24, 3)) + (LABELS == "pet")[:, None]

# Classes without support, and why.
QUICK = {
    **dict.fromkeys(adaptation.__all__, "a few decompositions, or one fit of a small model"),
    "EncoderReference": "a placeholder in files, which cannot be fitted",
    "FeatureBlocks": "no estimator",
    "RidgeHead": "one decomposition",
    "TfidfEncoder": "one pass over the texts, quick beside what is made of its vectors",
}


class Lengths:
    """A sentence model that encodes texts by their lengths."""

    def encode(self, texts, **options):
        return np.array([[len(text), 1.0] for text in texts], np.float32)


@cache
def make_vectors():
    return encoders.WordVectorEncoder(4, min_count=1).fit(TEXTS)


def classifier(**parameters):
    return transfer.TransferClassifier(make_vectors(), **parameters)


TASKS = {"X": TEXTS, "y": {"kind": LABELS, "other": LABELS[::-1]}}
SHIFTED = {"X": NUMBERS, "y": LABELS, "X_target": NUMBERS + 1}
CASES = {  # an estimator, the arguments of `fit`, and the number of tasks directly below the fit, None if it varies
    "AutoencoderEncoder": (lambda: encoders.AutoencoderEncoder((4,), 2, max_iter=3), {"X": NUMBERS}, 3),
    "DomainTransferClassifier": (lambda: transfer.DomainTransferClassifier(), SHIFTED, 5),
    "DomainTransferClassifier, texts": (
        lambda: transfer.DomainTransferClassifier(),
        {"X": TEXTS, "y": LABELS, "X_target": TEXTS},
        2,
    ),
    "DomainTransferClassifier, named": (lambda: transfer.DomainTransferClassifier(adaptation=CORAL()), SHIFTED, 1),
    "KMeansEncoder": (lambda: encoders.KMeansEncoder(3), {"X": NUMBERS}, None),
    "LSAEncoder": (lambda: encoders.LSAEncoder(2, min_df=1, n_iter=3), {"X": TEXTS}, None),
    "LogisticHead": (lambda: heads.LogisticHead(), {"X": NUMBERS, "y": LABELS}, None),
    "LogisticHeadCV": (lambda: heads.LogisticHeadCV(3), {"X": NUMBERS, "y": LABELS}, 3),
    "MLPHeadClassifier": (
        lambda: heads.MLPHeadClassifier((4,), max_iter=3, random_state=0),
        {"X": NUMBERS, "y": LABELS},
        3,
    ),
    "MLPHeadRegressor": (
        lambda: heads.MLPHeadRegressor((4,), max_iter=3, random_state=0),
        {"X": NUMBERS, "y": NUMBERS[:, 0]},
        3,
    ),
    "MultiTaskTransfer": (lambda: transfer.MultiTaskTransfer(classifier()), TASKS, 2),
    "PretrainedEncoder": (lambda: encoders.PretrainedEncoder(make_vectors()), {"X": TEXTS}, 0),
    "SOMEncoder": (lambda: encoders.SOMEncoder((2, 2), n_epochs=3), {"X": NUMBERS}, 3),
    "SelectiveClassifier": (
        lambda: selection.SelectiveClassifier(heads.LogisticHead(), coverage=0.9, cv=3),
        {"X": NUMBERS, "y": LABELS},
        4,
    ),
    "SentenceEncoder": (lambda: encoders.SentenceEncoder(Lengths()), {"X": TEXTS}, 0),
    "TorchEncoder": (lambda: encoders.TorchEncoder(torch.nn.Identity()), {"X": NUMBERS}, 0),
    "TransferClassifier": (lambda: classifier(), {"X": TEXTS, "y": LABELS}, 3),
    "TransferRegressor": (
        lambda: transfer.TransferRegressor(make_vectors()),
        {"X": TEXTS, "y": np.arange(24.0)},
        3,
    ),
    "WordVectorEncoder": (lambda: encoders.WordVectorEncoder(4, min_count=1), {"X": TEXTS}, 1),
    "WordVectorEncoder, iterated": (
        lambda: encoders.WordVectorEncoder(4, min_count=1, method="sgns", max_iter=3),
        {"X": TEXTS},
        3,
    ),
}


class Recorder:
    """Records the tasks that begin and end, as paths of their names, and may request to stop."""

    def __init__(self, stop_after=None):
        self.stop_after, self.begun, self.ended, self.is_open = stop_after, [], [], None

    def setup(self, estimator, context):
        self.is_open = True

    def teardown(self, estimator, context):
        self.is_open = False

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(path(context))

    def on_fit_task_end(self, estimator, context):
        self.ended.append(path(context))
        return self.stop_after is not None and len(self.below) >= self.stop_after

    @property
    def below(self):
        """The tasks directly below the fit."""
        return [names[1] for names in self.ended if len(names) == 2]


class PropagatedRecorder(Recorder):
    """Records the tasks of inner estimators, too, as a progress bar does."""

    max_propagation_depth = None


def path(context):
    names = [] if context.parent is None else path(context.parent)
    return [*names, context.task_name]


@pytest.fixture(params=CASES)
def case(request):
    make, arguments, n_tasks = CASES[request.param]
    return make(), arguments, n_tasks


@pytest.fixture(autouse=True)
def without_warnings_of_few_samples():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def answer(model, X):
    """Return what a model answers, as arrays by name."""
    method = next(name for name in ("predict_proba", "predict", "transform") if hasattr(model, name))
    found = getattr(model, method)(X)
    found = found if isinstance(found, dict) else {"": found}
    return {name: rows.toarray() if sparse.issparse(rows) else rows for name, rows in found.items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_every_public_estimator_supports_callbacks_or_is_quick():
    modules = adaptation, encoders, heads, selection, transfer
    public = {name: getattr(module, name) for module in modules for name in module.__all__}
    classes = {name: found for name, found in public.items() if isinstance(found, type)}
    supporting = {name for name, found in classes.items() if issubclass(found, CallbackSupportMixin)}
    assert supporting == {name.partition(",")[0] for name in CASES}
    assert supporting | set(QUICK) == set(classes)


def test_tasks_begin_end_and_are_as_many_as_promised(case):
    model, arguments, n_tasks = case
    recorder = Recorder()
    assert model.set_callbacks(recorder).fit(**arguments) is model
    assert recorder.begun[0] == recorder.ended[-1] == ["fit"]
    assert sorted(recorder.begun) == sorted(recorder.ended)
    assert recorder.is_open is False
    assert len(recorder.below) == n_tasks if n_tasks is not None else len(recorder.below) >= 2


def test_callbacks_change_no_result(case):
    model, arguments, _ = case
    plain = answer(clone(model).fit(**arguments), arguments["X"])
    assert_same(answer(model.set_callbacks(Recorder()).fit(**arguments), arguments["X"]), plain)


def test_progress_bar_is_shown_to_its_end(case, capsys):
    model, arguments, _ = case
    model.set_callbacks(ProgressBar()).fit(**arguments)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{type(model).__name__} - fit")
    assert all("100%" in line for line in lines)


def test_callbacks_are_cloned_and_pickled_but_not_part_of_model_files(case, tmp_path):
    model, arguments, _ = case
    bar = ProgressBar()
    copy = clone(model.set_callbacks(bar))
    assert vars(copy)["_skl_callbacks"][0] is bar
    copy.fit(**arguments)
    left = {name for name in vars(copy) if "callback" in name}
    assert left == {"_skl_callbacks"}  # nothing of the fit itself
    read = pickle.loads(pickle.dumps(copy))  # scikit-learn's workers get them this way
    assert isinstance(vars(read)["_skl_callbacks"][0], ProgressBar)
    if isinstance(copy, encoders.SentenceEncoder):  # its model is an object, which no model file holds
        return
    transferkit.save(copy, tmp_path / "model.tk")
    loaded = transferkit.load(tmp_path / "model.tk", trusted=["torch.nn.modules.linear.Identity"])
    assert not [name for name in vars(loaded) if "callback" in name]


def test_errors_close_the_bar(case):
    model, arguments, _ = case
    recorder = Recorder()
    broken = arguments | {"X": [None] * 24 if arguments["X"] is TEXTS else np.full((24, 3), np.nan)}
    model.set_callbacks(recorder)
    with pytest.raises((ValueError, TypeError)):
        getattr(model, "fit_transform", model.fit)(**broken)
    assert recorder.is_open is not True
    assert not [name for name in vars(model) if "callback_" in name]
    model.fit(**arguments)
    assert recorder.is_open is False


@pytest.mark.parametrize(
    ("name", "n_tasks"),
    [
        ("KMeansEncoder", 1),
        ("SOMEncoder", 1),
        ("TransferRegressor", 1),
        ("SelectiveClassifier", 2),
        ("LSAEncoder", None),
        ("DomainTransferClassifier", None),
        ("MultiTaskTransfer", None),
    ],
)
def test_request_to_stop_does_what_the_docstring_says(name, n_tasks):
    make, arguments, _ = CASES[name]
    everything, stopped = Recorder(), Recorder(stop_after=1)
    plain = make().set_callbacks(everything).fit(**arguments)
    model = make().set_callbacks(stopped).fit(**arguments)
    assert stopped.below == everything.below[:n_tasks]
    assert len(everything.below) > (n_tasks or 1)
    if n_tasks is None:
        assert_same(answer(model, arguments["X"]), answer(plain, arguments["X"]))
        assert "has no effect" in type(model).__doc__


def test_thresholds_are_set_on_the_folds_before_a_stop():
    make, arguments, _ = CASES["SelectiveClassifier"]
    assert make().fit(**arguments).n_held_out_ == 24
    assert make().set_callbacks(Recorder(stop_after=1)).fit(**arguments).n_held_out_ == 8


def test_map_of_a_stopped_fit_is_that_of_its_last_epoch():
    stopped = encoders.SOMEncoder((2, 2), n_epochs=3, radius=0.3).set_callbacks(Recorder(stop_after=1)).fit(NUMBERS)
    one = encoders.SOMEncoder((2, 2), n_epochs=1, radius=0.3).fit(NUMBERS)
    np.testing.assert_array_equal(stopped.weights_, one.weights_)


def test_clusters_of_a_stopped_fit_are_those_of_its_last_iteration():
    stopped = encoders.KMeansEncoder(3).set_callbacks(Recorder(stop_after=2)).fit(NUMBERS)
    two = encoders.KMeansEncoder(3, max_iter=2).fit(NUMBERS)
    assert stopped.n_iter_ == 2
    np.testing.assert_array_equal(stopped.cluster_centers_, two.cluster_centers_)


def test_inner_estimators_are_watched_by_callbacks_that_propagate():
    recorder = PropagatedRecorder()
    transfer.MultiTaskTransfer(classifier()).set_callbacks(recorder).fit(**TASKS)
    strategies = [names[2] for names in recorder.ended if len(names) == 3]
    assert strategies == ["term_vectors", "frozen", "scratch"] * 2
    recorder = PropagatedRecorder()
    model = selection.SelectiveClassifier(classifier(strategy="frozen"), coverage=1.0, cv=2)
    model.set_callbacks(recorder).fit(TEXTS, LABELS)
    assert [names[2] for names in recorder.ended if len(names) == 3] == ["frozen"] * 3
    assert recorder.is_open is False


def test_inner_estimators_keep_their_own_callbacks():
    recorder = Recorder()
    model = transfer.MultiTaskTransfer(classifier(strategy="frozen").set_callbacks(recorder))
    model.fit(**TASKS)
    assert recorder.below == ["frozen"] * 2
    assert recorder.is_open is False
    recorder = Recorder()
    selection.SelectiveClassifier(heads.LogisticHead().set_callbacks(recorder), coverage=1.0, cv=2).fit(NUMBERS, LABELS)
    assert [names for names in recorder.ended if len(names) == 1] == [["fit"]] * 3


@pytest.mark.parametrize(
    "make",
    [GaussianNB, lambda: FrozenEstimator(heads.LogisticHead().fit(NUMBERS, LABELS))],
    ids=["without callbacks", "frozen"],
)
def test_inner_estimators_without_callbacks_are_fitted_without_a_warning(make):
    model = selection.SelectiveClassifier(make(), coverage=1.0, cv=2)
    with warnings.catch_warnings(action="error"):
        model.set_callbacks(PropagatedRecorder()).fit(NUMBERS, LABELS)


@pytest.mark.parametrize(
    ("make", "X", "n_tasks"),
    [
        (lambda: encoders.SentenceEncoder(Lengths(), batch_size=2), TEXTS, 3),
        (lambda: encoders.TorchEncoder(torch.nn.Identity(), batch_size=2), NUMBERS, 3),
        (lambda: encoders.PretrainedEncoder(encoders.SentenceEncoder(Lengths(), batch_size=2)), TEXTS, 3),
        (lambda: encoders.PretrainedEncoder(make_vectors()), TEXTS, 1),
        (lambda: encoders.PretrainedEncoder(encoders.TfidfEncoder().fit(TEXTS)), TEXTS * 200, 2),
    ],
    ids=["sentences", "torch", "pretrained sentences", "pretrained vectors", "pretrained terms"],
)
def test_frozen_encoders_report_what_they_encode(make, X, n_tasks):
    recorder = Recorder(stop_after=1)
    rows = make().set_callbacks(recorder).fit_transform(X)
    assert recorder.below == ["samples"] * n_tasks  # a request to stop has no effect
    assert type(rows) is type(make().fit_transform(X))
    assert_same({"": rows.toarray() if sparse.issparse(rows) else rows}, answer(make(), X))


def test_steps_of_a_pipeline_are_shown_to_their_end(capsys):
    model = make_pipeline(encoders.PretrainedEncoder(make_vectors()), heads.LogisticHead())
    model.set_callbacks(ProgressBar()).fit(TEXTS, LABELS)
    lines = capsys.readouterr().out.splitlines()
    assert any("PretrainedEncoder - fit" in line for line in lines)
    assert all("100%" in line for line in lines)
