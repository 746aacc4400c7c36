"""Many tasks from one encoder: fitted, saved, loaded and served together."""

import os
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
from sklearn.base import TransformerMixin, clone
from sklearn.callback import CallbackSupportMixin, with_callbacks

from transferkit._estimator import FitProgress, VersionedEstimator
from transferkit._validation import (
    check_is_fitted,
    check_parameters,
    check_texts,
    count_rows,
    fit_context,
    holds_texts,
    with_plain_outputs,
)
from transferkit.encoders.term_projection import find_projection, join_terms
from transferkit.encoders.term_union import encode_terms, fit_characters
from transferkit.exceptions import ModelFileError
from transferkit.persistence import describe, fingerprint, load, load_shared, save
from transferkit.transfer._classifier import TransferClassifier, fit_classifier
from transferkit.transfer.pretrained import is_frozen, make_encoder, with_default_encoder

__all__ = ["EncoderReference", "MultiTaskTransfer"]

_SHARED = "shared-{}.tk"


class MultiTaskTransfer(CallbackSupportMixin, VersionedEstimator):
    """Fit many tasks on one pretrained encoder, and predict all of them in one pass.

    Parameters
    ----------
    estimator : TransferClassifier, default=None
        Cloned and fitted for each task; required by `fit`.

    Attributes
    ----------
    models_ : dict of str to TransferClassifier
        The fitted model of each task. Those with the same encoder hold the same object.

    See Also
    --------
    TransferClassifier : One task.

    Notes
    -----
    A task without labels is learned from descriptions of its classes, or from the estimator's `teacher`, and unlabelled
    rows. What the estimator's `class_descriptions`, `teacher` and `class_prior` say is used for every task, so it must
    fit the labels of all; descriptions of a single task are given to `fit`.

    A frozen encoder encodes each text once, whatever the number of tasks. With "term_vectors" all tasks share one
    vocabulary, that of the encoder and of all labelled texts, so that one pass over a text gives the features of every
    task.

    `save_tasks` writes an encoder that tasks share once, and task files that name it by its file's digest; with
    ``embed=True`` each task file holds its encoder and can be loaded by :func:`transferkit.load` alone.

    `set_callbacks` takes scikit-learn's callbacks, such as ``ProgressBar()``: each task is one of the fit, and the
    strategies that are compared for it are tasks of that, for callbacks that propagate to inner estimators. Since every
    task needs a model, a request to stop after one has no effect; callbacks of `estimator` hear of each fit, and may
    end its comparison.

    Examples
    --------
    >>> from transferkit import TransferClassifier, WordVectorEncoder
    >>> from transferkit.transfer import MultiTaskTransfer
    >>> unlabelled = ["the cat sat", "the dog sat", "the cat and the dog", "a stock rose", "a stock and a bond rose"]
    >>> encoder = WordVectorEncoder(n_components=3, min_count=1).fit(unlabelled)
    >>> texts = {"topic": ["the cat", "a stock"], "verb": ["sat", "rose"]}
    >>> labels = {"topic": ["pet", "money"], "verb": ["down", "up"]}
    >>> tasks = MultiTaskTransfer(TransferClassifier(encoder)).fit(texts, labels)
    >>> {task: found.tolist() for task, found in tasks.predict(["the dog sat"]).items()}
    {'topic': ['pet'], 'verb': ['down']}

    One task has labels, of the other only the classes are described:

    >>> described = {"verb": {"down": "sat", "up": "rose"}}
    >>> tasks = MultiTaskTransfer(TransferClassifier(encoder)).fit(
    ...     {"topic": texts["topic"]},
    ...     {"topic": labels["topic"], "verb": []},
    ...     X_unlabelled={"verb": unlabelled},
    ...     class_descriptions=described,
    ... )
    >>> {task: found.tolist() for task, found in tasks.predict(["the dog sat"]).items()}
    {'topic': ['pet'], 'verb': ['down']}
    """

    fitted_attributes = ("models_",)

    _parameter_constraints: dict = {"estimator": [TransferClassifier, None]}

    def __init__(self, estimator: TransferClassifier | None = None) -> None:
        self.estimator = estimator

    @fit_context(prefer_skip_nested_validation=False)
    @with_plain_outputs
    def fit(self, X, y, *, X_unlabelled=None, class_descriptions=None) -> Self:
        """Fit every task.

        Parameters
        ----------
        X : dict of str to iterable of str or array-like, or one of these
            Labelled rows of each task; or one collection whose rows have labels for every task.
        y : dict of str to array-like
            Labels of each task. Empty for a task without labels, which X leaves out or has no rows of; it needs
            unlabelled rows, and descriptions of its classes or a teacher.
        X_unlabelled : dict of str to iterable of str or array-like, or one of these, default=None
            Unlabelled rows of some tasks; or one collection for every task.
        class_descriptions : dict of str to "labels", dict of {label: str or list of str} or None, default=None
            Descriptions of the classes of some tasks, in place of the estimator's.

        Returns
        -------
        self : MultiTaskTransfer
            The fitted tasks.

        Raises
        ------
        ValueError
            If there is no task, the arguments name different ones, or a parameter of the estimator is not valid. Errors
            and warnings of a single task name it.
        """
        if self.estimator is None:
            raise ValueError("MultiTaskTransfer needs an estimator: a TransferClassifier with its encoder.")
        estimator = self.estimator
        check_parameters(estimator)
        rows = _check_tasks(X, y)
        progress = FitProgress(self, len(rows))
        progress.begin(rows, y)
        unlabelled = _check_unlabelled(X_unlabelled, rows)
        estimators = _describe(estimator, class_descriptions, rows)
        texts = [part for part in rows.values() if count_rows(part)]
        everything = [text for task in texts for text in task] if all(map(holds_texts, texts)) else None
        encoder = with_default_encoder(estimator, everything is not None).encoder
        uses_terms = estimator.source is None and estimator.strategy in ("auto", "term_vectors", "prior")
        terms = None
        if everything is not None and uses_terms and is_frozen(encoder):
            projection = find_projection(make_encoder(encoder))
            if projection is not None:
                terms = join_terms(projection, everything)
                terms = terms._replace(characters=fit_characters(terms.encoder, everything))
        models = {}
        for task in rows:
            with progress.part(task, estimators[task]):
                models[task] = _fit_task(task, estimators[task], rows[task], y[task], unlabelled[task], terms)
        _share_encoders(models)
        self.models_ = models
        progress.end({})
        return self

    @with_plain_outputs
    def predict(self, X) -> dict[str, np.ndarray]:
        """Return the predicted labels of every task.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix
            Raw input; encoded once for all tasks that share an encoder.

        Returns
        -------
        labels : dict of str to ndarray of shape (n_samples,)
            Predictions of each task.
        """
        return self._predict(X, "predict")

    @with_plain_outputs
    def predict_proba(self, X) -> dict[str, np.ndarray]:
        """Return the probabilities of the classes of every task.

        Parameters
        ----------
        X : iterable of str, array-like or sparse matrix
            Raw input; encoded once for all tasks that share an encoder.

        Returns
        -------
        probabilities : dict of str to ndarray of shape (n_samples, n_classes)
            Probabilities of each task.
        """
        return self._predict(X, "predict_proba")

    def save_tasks(self, folder, *, embed=False, trusted=None):
        """Write one file per task, and one for each encoder that tasks share.

        Parameters
        ----------
        folder : str or path
            Folder to write to; created if it does not exist. Files of the same names are replaced.
        embed : bool, default=False
            Whether each task file holds its encoder itself.
        trusted : list of str, class or function, default=None
            Other classes and functions that the models may hold, as in :func:`transferkit.save`.

        Raises
        ------
        ValueError
            If the name of a task is not a valid file name.
        """
        check_is_fitted(self)
        for task in self.models_:
            if Path(task).name != task or task.startswith((".", "shared-")):
                raise ValueError(f"The task {task!r} cannot be saved under its name. Use one that names a file.")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        references = {}
        for task, model in self.models_.items():
            encoder, copy = model.encoder_, _copy_for_file(model)
            if not embed:
                if id(encoder) not in references:
                    name = _SHARED.format(len(references))
                    save(encoder, folder / name, trusted=trusted)
                    references[id(encoder)] = EncoderReference(name, describe(folder / name).digest)
                copy.encoder_ = copy.encoder = references[id(encoder)]
            save(copy, folder / f"{task}.tk", trusted=trusted)

    @classmethod
    def load_tasks(cls, folder, tasks=None, *, trusted=None):
        """Read tasks that `save_tasks` wrote; those that share an encoder share one object in memory.

        Parameters
        ----------
        folder : str or path
            Folder that `save_tasks` wrote.
        tasks : list of str, default=None
            Names of the tasks to load; all if None.
        trusted : list of str, class or function, default=None
            Other classes and functions that the files may hold, as in :func:`transferkit.load`.

        Returns
        -------
        tasks : MultiTaskTransfer
            The fitted tasks.

        Raises
        ------
        ModelFileError
            If a file is missing, damaged or unrecognised, or an encoder is not the one that a task was saved with.
        """
        folder = Path(folder)
        if tasks is None:
            tasks = sorted(path.stem for path in folder.glob("*.tk") if not path.name.startswith("shared-"))
        if not tasks:
            raise ModelFileError(f"The folder {os.fspath(folder)!r} holds no tasks.")
        models = {}
        for task in tasks:
            model = load(folder / f"{task}.tk", trusted=trusted)
            if isinstance(model.encoder_, EncoderReference):
                model.encoder_ = model.encoder = model.encoder_.resolve(folder, trusted)
            models[task] = model
        estimator, *others = models.values()
        found = cls(clone(estimator))
        if any(other.class_descriptions != estimator.class_descriptions for other in others):
            found.estimator.class_descriptions = None  # of single tasks
        found.models_ = models
        return found

    def __sklearn_is_fitted__(self):
        return hasattr(self, "models_")

    def _predict(self, X, method):
        check_is_fitted(self)
        X = check_texts(X) if holds_texts(X) else X
        encoded, results = {}, {}
        for task, model in self.models_.items():
            if id(model.encoder_) not in encoded:
                encoded[id(model.encoder_)] = encode_terms(model.encoder_, X)
            results[task] = getattr(model.head_, method)(encoded[id(model.encoder_)])
        return results


class EncoderReference(TransformerMixin, VersionedEstimator):
    """Placeholder, in the file of a task, for an encoder in a separate file.

    Parameters
    ----------
    name : str
        Name of the encoder's file.
    digest : str
        The file's digest, as :func:`transferkit.describe` shows it.
    """

    def __init__(self, name, digest):
        self.name = name
        self.digest = digest

    def fit(self, X, y=None):
        """Raise an error: a reference cannot be fitted."""
        return self.transform(X)

    def transform(self, X):
        """Raise an error that explains how to load the task with its encoder."""
        raise ModelFileError(
            f"This task was saved without its encoder, which is in the file {self.name!r}. Load both with "
            "MultiTaskTransfer.load_tasks(folder)."
        )

    def resolve(self, folder, trusted=None):
        """Return the encoder, one object for all tasks, if its file has the expected digest."""
        path = Path(folder) / self.name
        found = describe(path).digest
        if found != self.digest:
            raise ModelFileError(
                f"The file {os.fspath(path)!r} is not the encoder that the task was saved with: its digest is {found}, "
                f"not {self.digest}."
            )
        return load_shared(path, trusted)

    def finish_loading(self, trusted):
        """Raise an error for any name but that of a model file in the same folder.

        Parameters
        ----------
        trusted : Trusted
            The classes, functions and names that the caller of `load` trusts.
        """
        name = self.name
        if type(name) is not str or Path(name).name != name or "\\" in name or not name.endswith(".tk"):
            raise ModelFileError(f"The model file names another file ({name!r}), which is not opened.")

    def __sklearn_is_fitted__(self):
        return True


def _check_tasks(X, y):
    """Return the labelled rows of each task."""
    if not isinstance(y, dict) or not y:
        raise ValueError(
            f"y must be a dict of the labels of each task, with one task at least. Got {type(y).__name__}."
        )
    wrong = [task for task in y if not isinstance(task, str)]
    if wrong:
        raise ValueError(f"The names of tasks must be str. Got {wrong[0]!r}.")
    if isinstance(X, dict):
        rows = {task: [] for task in y if _is_empty(y[task])} | X
    else:
        X = check_texts(X) if holds_texts(X) else X  # once: a generator is empty after the first task
        rows = {task: [] if _is_empty(y[task]) else X for task in y}
    if set(rows) != set(y):
        raise ValueError(f"X and y must name the same tasks. These differ: {sorted(set(rows) ^ set(y), key=str)}.")
    return {task: rows[task] if _is_empty(y[task]) else _check_rows(task, rows[task]) for task in y}


def _is_empty(labels):
    return hasattr(labels, "__len__") and count_rows(labels) == 0


def _check_rows(task, rows):
    """Return rows of a task, texts as a list."""
    with _naming(task):
        return check_texts(rows) if holds_texts(rows) else rows


def _check_unlabelled(X_unlabelled, tasks):
    """Return the unlabelled rows of each task, None without any."""
    if isinstance(X_unlabelled, dict):
        _check_names("X_unlabelled", X_unlabelled, tasks)
        found = {task: None if rows is None else _check_rows(task, rows) for task, rows in X_unlabelled.items()}
        return dict.fromkeys(tasks) | found
    if X_unlabelled is not None and holds_texts(X_unlabelled):
        X_unlabelled = check_texts(X_unlabelled)  # once, as X
    return dict.fromkeys(tasks, X_unlabelled)


def _describe(estimator, class_descriptions, tasks):
    """Return a clone of the estimator for each task, with the descriptions of its classes."""
    estimators = {task: clone(estimator) for task in tasks}
    if class_descriptions is None:
        return estimators
    if not isinstance(class_descriptions, dict):
        raise ValueError(
            "class_descriptions must be a dict of the descriptions of each task, or of 'labels'. Got "
            f"{class_descriptions!r}."
        )
    _check_names("class_descriptions", class_descriptions, tasks)
    for task, descriptions in class_descriptions.items():
        with _naming(task):
            check_parameters(estimators[task].set_params(class_descriptions=descriptions))
    return estimators


def _check_names(argument, given, tasks):
    """Raise ValueError if an argument of `fit` names tasks that y does not."""
    unknown = [task for task in given if task not in tasks]
    if unknown:
        raise ValueError(
            f"{argument} names the task {unknown[0]!r}, which y does not. The tasks are {', '.join(map(repr, tasks))}; "
            "one without labels has y[task] = []."
        )


def _fit_task(task, estimator, X, y, X_unlabelled, terms):
    """Return the fitted model of a task."""
    if _is_empty(y) and X_unlabelled is None:
        raise ValueError(f"The task {task!r} has no labels: it needs unlabelled rows, fit(..., X_unlabelled=rows).")
    with _naming(task):
        return _fit_estimator(estimator, X, y, X_unlabelled=X_unlabelled, terms=terms)


@with_callbacks
def _fit_estimator(estimator, X, y, **options):
    return fit_classifier(estimator, X, y, **options, progress=FitProgress(estimator))


@contextmanager
def _naming(task):
    """Let errors and warnings of a task name it."""
    caught = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")  # those that are ignored are so below
            yield
    except (ValueError, TypeError) as error:
        if len(error.args) == 1:  # the message
            error.args = (f"Task {task!r}: {error}",)
        raise
    finally:  # an error does not hide the warnings before it
        for warning in caught:
            text = f"Task {task!r}: {warning.message}"
            warnings.warn_explicit(text, warning.category, warning.filename, warning.lineno)


def _share_encoders(models):
    """Let models whose encoders are equal hold the same object."""
    known = {}
    for model in models.values():
        inner = getattr(model.encoder_, "encoder_", model.encoder_)
        model.encoder_ = known.setdefault(fingerprint(inner), model.encoder_)


def _copy_for_file(model):
    """Return the model in the state to write to a file, without attributes that only `fit` needs."""
    copy = object.__new__(type(model))
    vars(copy).update(model.get_file_state())
    return copy
