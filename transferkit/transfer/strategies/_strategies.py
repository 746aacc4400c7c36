"""Strategies of transfer for classes: which apply, how each is fitted, and which one is taken."""

import time
import warnings
from functools import partial

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from transferkit._validation import count_inner_frames
from transferkit.encoders.protocols import ProjectsTerms
from transferkit.encoders.term_projection import find_projection, join_terms, may_pair
from transferkit.transfer._outcome import Outcome, is_better, is_clearly_better, make_row
from transferkit.transfer._settings import LOOSE_TOL, read_settings
from transferkit.transfer._task import AllClasses, ClassificationTask
from transferkit.transfer.domains._fold_features import encode_folds
from transferkit.transfer.strategies._fine_tuning import Pace, find_fine_tunable, fit_finetuned
from transferkit.transfer.strategies._logistic import fit_logistic
from transferkit.transfer.strategies._source import fit_from_source
from transferkit.transfer.strategies._term_vectors import fit_prior


def fit_plainly(estimator, X, y, is_text, sample_weight):
    """Return the outcome of one strategy with a head that is given: nothing is chosen and nothing held out."""
    encoder = estimator._make_encoder(is_text)
    features = encoder.fit_transform(X, y)
    head = _fit_head(estimator, features, y, sample_weight)
    return Outcome(estimator.strategy, encoder, head, np.zeros(0), [make_row(estimator.strategy, [], weight=1.0)])


def fit_judged(estimator, X, y, is_text, sample_weight, groups, terms=None, cv=None):
    """Return the outcome of the strategy, or of the best one of all that apply, judged on held-out labels; and all.

    Parameters
    ----------
    estimator : TransferClassifier
        Has the parameters.
    X : list of str, array or sparse matrix
        Raw input.
    y : ndarray
        Labels.
    is_text : bool
        Whether X holds texts.
    sample_weight, groups : array-like or None
        As given to `fit`.
    terms : Terms, default=None
        Those of "prior"; made from the encoder and the texts if None.
    cv : int, splitter or iterable of (train, test) indices, default=None
        Folds of these rows; those of the estimator if None.

    Returns
    -------
    outcome : Outcome
        What is taken, trained on all rows.
    outcomes : list of Outcome
        Those of all strategies.
    """
    settings = read_settings(estimator.head, estimator.device)
    if estimator.source is not None:
        _check_source(estimator, settings)
        names = []
    else:
        names = list_strategies(estimator, is_text, settings)
    task = ClassificationTask(
        estimator,
        y,
        cv=estimator.cv if cv is None else cv,
        scoring=estimator.scoring,
        class_weight=None if settings is None else settings.class_weight,
        sample_weight=sample_weight,
        groups=groups,
        random_state=estimator.random_state,
    )
    if estimator.source is not None:
        taken = fit_from_source(estimator, X, is_text, task, settings)
        return taken, [taken]
    if estimator.strategy == "auto" and not task.has_folds:
        names = [name for name in names if name != "finetune"]  # nothing would tell whether it helps
    if "finetune" in names and task.n_weights > 1:
        names = _leave_out_fine_tuning(names)
    fit = partial(_fit_strategy, estimator, X=X, is_text=is_text, task=task, settings=settings, terms=terms)
    outcomes = [estimator._fit_if_possible(fit, name, X, is_text) for name in names]
    task.report_undefined(outcomes)
    taken = choose([outcome for outcome in outcomes if outcome.head is not None])
    if estimator.strategy == "auto":
        _warn_without_transfer(taken)
    return taken, outcomes


def list_strategies(estimator, is_text, settings):
    """Return the names of the strategies to try, after refusing one that cannot be."""
    if estimator.strategy == "prior":
        _check_prior(estimator, is_text, settings)
    if estimator.strategy == "finetune":
        _check_finetune(estimator, settings)
    if estimator.strategy != "auto":
        return [estimator.strategy]
    estimator._make_encoder(is_text)  # says so if there is none
    frozen = estimator._has_frozen_encoder()
    has_prior = is_text and settings is not None and frozen and _find_projection(estimator) is not None
    if has_prior:  # fine-tuning the same arrays took ten times as long and did not do better
        return ["prior", "frozen", "scratch"]
    tunable = find_fine_tunable(estimator._make_encoder(is_text)) if settings is not None and frozen else None
    can_tune = tunable is not None and tunable.can_fine_tune(quickly=True)
    return [*["finetune"] * can_tune, "frozen", "scratch"]


def choose(outcomes):
    """Return the outcome to take, of one a strategy.

    The average of linear candidates ("prior") gives way only to what is clearly better (see `is_clearly_better`).
    Without it the best mean wins, and pretraining wins ties. Without folds, pretraining is trusted.
    """
    incumbent = outcomes[0]
    for challenger in outcomes[1:]:
        if len(incumbent.fold_scores) == 0:
            break
        wins = is_clearly_better if incumbent.strategy == "prior" else is_better
        if wins(challenger, incumbent):
            incumbent = challenger
    return incumbent


def _fit_strategy(estimator, strategy, X, is_text, task, settings, terms):
    """Return the outcome of one strategy, trained on all rows and judged on the folds of the task."""
    encoder = estimator._make_encoder(is_text, strategy)
    if strategy == "prior":
        if not estimator._has_frozen_encoder():
            encoder.fit(X, task.y)
        if estimator.head is None:
            settings = settings._replace(tol=LOOSE_TOL)
        if terms is not None:
            return fit_prior(terms, X, task, settings)
        projection = find_projection(encoder)
        pair_terms = partial(join_terms, projection, X, pairs=True) if may_pair(projection) else None
        return fit_prior(join_terms(projection, X), X, task, settings, pair_terms)
    if strategy == "finetune":
        encoder = encoder if estimator._has_frozen_encoder() else encoder.fit(X, task.y)
        pace = Pace(estimator.encoder_learning_rate, estimator.unfreeze_at, estimator.anchor_strength)
        seed = int(check_random_state(estimator.random_state).randint(2**31 - 1))
        return fit_finetuned(find_fine_tunable(encoder), X, task, settings, pace, seed)
    of_folds = None
    if settings is None or (strategy == "frozen" and not estimator._has_frozen_encoder()):
        of_folds = encode_folds(encoder, X, task.y, task.folds)
    if settings is None:
        return _fit_any_head(estimator, strategy, encoder, X, task, of_folds)
    return fit_logistic(strategy, encoder, encoder.fit_transform(X, task.y), task, settings, of_folds)


def _fit_any_head(estimator, strategy, encoder, X, task, of_folds):
    """Return the outcome of a head of any kind, fitted anew with its encoder in each fold."""
    began = time.perf_counter()
    scores = []
    for fold, features in enumerate(of_folds):
        train = task.folds[fold][0]
        weights = task.sample_weight[train] if task.is_weighted else None
        head = _fit_head(estimator, features.train, task.y[train], weights)
        scores.append(task.score_fold(AllClasses.of(head, task), features.test, fold))
    weights = task.sample_weight if task.is_weighted else None
    head = _fit_head(estimator, encoder.fit_transform(X, task.y), task.y, weights)
    row = make_row(strategy, scores, weight=1.0, seconds=time.perf_counter() - began)
    return Outcome(strategy, encoder, head, np.array(scores, dtype=np.float64), [row])


def _fit_head(estimator, features, y, sample_weight):
    head = estimator._default_head() if estimator.head is None else clone(estimator.head)
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    return head.fit(features, y, **weights)


def _find_projection(estimator):
    return find_projection(estimator._make_encoder(is_text=True, strategy="prior"))


def _check_prior(estimator, is_text, settings):
    """Raise ValueError where strategy="prior" cannot be, and say what can."""
    if settings is None:
        raise ValueError(
            "strategy='prior' trains logistic regression without a prior of its own: head must be None, a LogisticHead "
            f"or a LogisticHeadCV. Got {estimator.head!r}. Use strategy='frozen' with this head."
        )
    if not is_text:
        raise ValueError(
            "strategy='prior' works on the words of texts, and X holds rows of numbers. Use strategy='frozen'."
        )
    encoder = estimator._make_encoder(is_text, "prior")
    can = isinstance(encoder, ProjectsTerms) or _find_projection(estimator) is not None
    if not can:
        name = type(getattr(encoder, "encoder_", encoder)).__name__
        raise ValueError(
            "strategy='prior' needs an encoder that projects the weights of terms linearly: a WordVectorEncoder or an "
            f"LSAEncoder. Got {name}. Use strategy='frozen'."
        )


def _check_source(estimator, settings):
    """Raise ValueError where a source model cannot be used, and say what can."""
    if estimator.strategy != "auto":
        raise ValueError(
            f"source is for strategy='auto', which compares transfer from it with none. Got {estimator.strategy!r}."
        )
    if settings is None:
        raise ValueError(
            "source is a prior of logistic regression: head must be None, a LogisticHead or a LogisticHeadCV without a "
            f"prior of its own. Got {estimator.head!r}."
        )


def _check_finetune(estimator, settings):
    """Raise ValueError where strategy="finetune" cannot be, and say what can."""
    if settings is None:
        raise ValueError(
            "strategy='finetune' trains a linear layer as head: head must be None, a LogisticHead or a LogisticHeadCV. "
            f"Got {estimator.head!r}. Use strategy='frozen' with this head."
        )
    encoder = estimator._make_encoder(True, "finetune")
    encoder = getattr(encoder, "encoder_", encoder)
    if find_fine_tunable(encoder) is None:
        raise ValueError(
            "strategy='finetune' needs an encoder with arrays that can be trained: a WordVectorEncoder that pools by "
            "'mean' or 'tfidf', an LSAEncoder, an AutoencoderEncoder, or a TorchEncoder of a module whose parameters "
            f"require gradients. Got {encoder!r}. Use strategy='frozen'."
        )


def _leave_out_fine_tuning(names):
    """Return the other strategies; raise ValueError if there are none."""
    if len(names) > 1:
        return [name for name in names if name != "finetune"]
    raise ValueError(
        "strategy='finetune' has one weight for each row, not one for each label: class_weight of the head must be "
        "None when y is an indicator matrix."
    )


def _warn_without_transfer(outcome):
    """Warn when what was pretrained did not help."""
    share = sum(row["weight"] for row in outcome.rows if row["strategy"] == "prior" and row["alpha"] == 0)
    if outcome.strategy != "scratch" and not share > 0.5:
        return
    how = "scratch did better" if outcome.strategy == "scratch" else f"candidates without it weigh {share:.0%}"
    warnings.warn(
        f"Transfer did not help on held-out labels: {how} (see strategy_scores_). An encoder pretrained on data "
        "closer to the task may.",
        UserWarning,
        stacklevel=count_inner_frames(),
    )
