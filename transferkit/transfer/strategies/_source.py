"""Transfer from a source model: its weights are the mean of the prior over those of the new task (L2-SP)."""

import os
import time
import warnings
from dataclasses import replace

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from transferkit._validation import is_fitted, read_feature_names, take_rows
from transferkit.encoders import PretrainedEncoder, TfidfEncoder
from transferkit.encoders.protocols import TermProjection
from transferkit.encoders.term_projection import join_terms
from transferkit.encoders.term_union import join_characters, name_terms, split_terms
from transferkit.exceptions import CLONES_IN_GRIDS, count_inner_frames
from transferkit.heads import LogisticHead
from transferkit.heads.linear import match_prior
from transferkit.heads.linear.evaluation import average_folds
from transferkit.persistence import load_shared
from transferkit.transfer._evaluation import Outcome, is_clearly_better, make_row, report_undefined
from transferkit.transfer.pretrained import is_frozen
from transferkit.transfer.strategies._candidates import LOOSE_TOL, SharedSearch, SplitSearch
from transferkit.transfer.strategies._frozen import encode_folds

__all__ = ["add_terms", "check_source", "fit_from_source", "read_source"]

_SOURCE_CS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)  # of the default head; the smallest hardly leave the source


def check_source(strategy, head, settings):
    """Raise ValueError if a source model cannot be used.

    Parameters
    ----------
    strategy : str
        As given.
    head : classifier or None
        As given.
    settings : LogisticSettings or None
        Settings that the head specifies.
    """
    if strategy != "auto":
        raise ValueError(f"source is used with strategy='auto' only. Got {strategy!r}. Leave out source or strategy.")
    if settings is None:
        raise ValueError(
            "source is a prior of logistic regression: head must be None, a LogisticHead or a LogisticHeadCV without a "
            f"prior. Got {head!r}."
        )


def fit_from_source(source, encoder, X, task, settings, *, is_text, is_default_head):
    """Return the outcome of learning a task from a source model.

    Parameters
    ----------
    source : fitted classifier, str or path
        Source model.
    encoder : transformer or None
        Encoder of the task; that of the source if None.
    X : list of str, array, sparse matrix or data frame
        Raw input.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings
        Candidates for C.
    is_text : bool
        Whether X holds texts.
    is_default_head : bool
        Whether the head is the default one: then smaller values of C and a looser tolerance are used.

    Returns
    -------
    outcome : Outcome
        "transfer", or "target only" if that is clearly better; the table also has "source only".
    outcomes : list of Outcome
        Both; the selected one has the table.
    """
    source, source_encoder, head = read_source(source)
    _warn_of_forgotten(head.classes_, task.classes)
    of_folds = None  # features on which candidates are evaluated, if those of each fold differ
    if encoder is not None:
        is_pretrained = is_frozen(encoder)
        names = _name_features(source, source_encoder, head)
        features = encoder.fit_transform(X, task.y)
        if not set(names) & set(name_terms(encoder)):
            raise ValueError(
                "The source model and the encoder have no feature in common, so there is nothing to transfer. Leave "
                "out encoder to use the source's own."
            )
        prior = _spread(head, names, name_terms(encoder))
        if not is_pretrained:
            of_folds = list(encode_folds(encoder, X, task.y, task.folds))
    else:
        encoder, places = add_terms(source_encoder, X) if is_text else (source_encoder, None)
        features = encoder.transform(X)
        prior = head if places is None else _spread(head, places.tolist(), range(features.shape[1]))
    began, source_scores = time.perf_counter(), _score_source(source, X, task)
    rows = [make_row("source only", source_scores, weight=0.0, seconds=time.perf_counter() - began)]
    settings = replace(settings, Cs=_SOURCE_CS, tol=LOOSE_TOL) if is_default_head else settings
    outcomes = []
    for strategy, start in (("transfer", prior), ("target only", None)):
        began, priors = time.perf_counter(), None
        if start is not None and of_folds is not None:
            spread = [_spread(head, names, name_terms(fold.encoder)) for fold in of_folds]
            priors = [_read_weights(one, fold.train, task) for one, fold in zip(spread, of_folds, strict=True)]
        trained, scores = _fit_head(features, of_folds, task, settings, start, priors)
        row = make_row(strategy, scores, C=trained.C, weight=0.0, seconds=time.perf_counter() - began)
        outcomes.append(Outcome(strategy, encoder, trained, scores, [row]))
        rows.append(row)
    report_undefined(task, outcomes)
    transfer, target = outcomes
    taken = target if is_clearly_better(target, transfer) else transfer
    taken.rows[0]["weight"] = 1.0
    transfer.rows, target.rows = [], []
    taken.rows = rows
    return taken, outcomes


def _warn_of_forgotten(known, classes):
    """Warn if there are labels of new classes and of some known ones: then the other known classes are given up."""
    known, given = set(np.asarray(known).tolist()), set(classes.tolist())
    forgotten = sorted(known - given)
    if 0 < len(forgotten) < len(known) and given - known:
        warnings.warn(
            f"The new model does not know {len(forgotten)} classes of the source, such as {forgotten[0]!r}, "
            "because y has none of their labels. To add classes and keep all of the source, fit on labels of new "
            "classes alone, or add rows of each class.",
            UserWarning,
            stacklevel=count_inner_frames(),
        )


def read_source(source):
    """Return the source model, its encoder and its linear head."""
    model = load_shared(source) if isinstance(source, (str, os.PathLike)) else source
    if not is_fitted(model):
        raise NotFittedError(
            f"The source must be fitted. Got an unfitted {type(model).__name__}: fit it first. In a grid give its "
            f"path: {CLONES_IN_GRIDS}."
        )
    for name in ("best_estimator_", "estimator_"):  # of searches and of classifiers that reject samples
        inner = getattr(model, name, model)
        model = inner if is_fitted(inner) else model  # `estimator_` of a forest is not fitted
    if hasattr(model, "encoder_") and hasattr(model, "head_"):
        encoder, head = model.encoder_, model.head_
    elif isinstance(model, Pipeline):
        head = model[-1]
        encoder = model[:-1] if len(model.steps) > 1 else FunctionTransformer(accept_sparse=True)
    else:
        encoder, head = FunctionTransformer(accept_sparse=True).fit([[0]]), model
    if not hasattr(head, "coef_") or not hasattr(head, "classes_"):
        raise ValueError(
            f"source must be a fitted model whose head is linear and classifies (coef_ and classes_). Got "
            f"{type(head).__name__} as head of {type(model).__name__}. Use its encoder with strategy='frozen'."
        )
    return model, encoder, head


def _name_features(source, encoder, head):
    """Return the names of the features that the source's weights are for."""
    try:
        return list(name_terms(encoder))
    except (AttributeError, ValueError, NotFittedError):
        if hasattr(head, "feature_names_in_"):
            return list(head.feature_names_in_)
    raise ValueError(
        f"The features of the source, a {type(source).__name__}, have no names, so its weights cannot be matched with "
        "the features of encoder. Give a source that was fitted on a data frame or with an encoder that names its "
        "features, or leave out encoder."
    )


def add_terms(encoder, texts):
    """Return the source's TF-IDF with columns for new terms, and the places of its own columns.

    Any other encoder is returned as it is, with None.
    """
    inner = encoder.encoder_ if isinstance(encoder, PretrainedEncoder) else encoder
    parts = split_terms(inner)
    if not all(map(_weights_terms_alike, parts or [inner])):
        return encoder, None
    if parts is not None:
        (words, of_words), (characters, of_characters) = (add_terms(part, texts) for part in parts)
        return join_characters(words, characters), np.concatenate([of_words, len(words.idf_) + of_characters])
    nothing = np.zeros((len(inner.idf_), 0), np.float32)
    return join_terms(TermProjection(inner, nothing, inner.idf_), texts).encoder, np.arange(len(inner.idf_))


def _weights_terms_alike(encoder):
    """Return whether an encoder weights terms as `join_terms` does."""
    return type(encoder) is TfidfEncoder and encoder.norm == "l2" and encoder.sublinear_tf and encoder.use_idf


def _spread(head, names, wanted):
    """Return a linear model with the head's weights at features of the same names, and zero at others."""
    place = {name: position for position, name in enumerate(names)}
    found = np.array([place.get(name, -1) for name in wanted])
    coef = np.zeros((len(head.coef_), len(found)), head.coef_.dtype)
    coef[:, found >= 0] = head.coef_[:, found[found >= 0]]
    from sklearn.linear_model import LogisticRegression  # here, because a model that only predicts needs none of it

    spread = LogisticRegression()
    spread.coef_, spread.intercept_, spread.classes_ = coef, np.asarray(head.intercept_), head.classes_
    return spread


def _score_source(source, X, task):
    """Return the scores of the source model itself on held-out rows, (n_folds,); NaN if its classes do not fit."""
    scores = []
    for fold, (_, test) in enumerate(task.folds):
        try:
            scores.append(task.held_out.score_head(source, take_rows(X, test), fold))
        except (ValueError, AttributeError):  # such as a score that needs probabilities of other classes
            scores.append(np.nan)
    return np.array(scores)


def _fit_head(features, of_folds, task, settings, prior, priors):
    """Return the head of the best C, and the scores of its folds; `priors` are those of folds with their own features.

    Of equally good values of C the smallest is used.
    """
    C, scores = settings.few_labels_C(), np.zeros(0)
    if task.has_folds:
        if of_folds is None:
            search = SharedSearch(features, task, settings, _read_weights(prior, features, task))
        else:
            search = SplitSearch(features, of_folds, task, settings, priors)
        table = np.stack([task.held_out.score(found.scores) for found in search.found])
        best = int(np.nan_to_num(average_folds(table)[0], nan=-np.inf).argmax())
        C, scores = settings.Cs[best], table[best]
    head = LogisticHead(**settings.parameters(C), prior=prior).fit(features, task.y, **task.fit_weights)
    return head.set_params(prior=None), scores  # predictions do not need it


def _read_weights(prior, features, task):
    """Return the prior's weights (n_outputs or n_labels, n_features), or None."""
    if prior is None:
        return None
    weights, _ = match_prior(prior, task.classes, features.shape[1], read_feature_names(features))
    return weights[1:] - weights[:1] if task.n_outputs == 1 and not task.multilabel else weights
