"""Selection of the strategy by cross-validation: which strategies apply, and the best of them."""

import warnings
from dataclasses import replace
from functools import partial

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from transferkit._estimator import UNWATCHED
from transferkit.encoders.term_projection import find_projection, join_terms
from transferkit.encoders.term_union import join_characters
from transferkit.exceptions import count_inner_frames
from transferkit.transfer._evaluation import (
    ClassificationTask,
    Outcome,
    choose,
    fit_in_turn,
    make_head,
    make_row,
    report_undefined,
)
from transferkit.transfer._summary import LEAST_SHARE, pretrained_share, summarise, summarise_untested
from transferkit.transfer.pretrained import check_has_encoder, how_to_pretrain, is_frozen, make_encoder
from transferkit.transfer.strategies._candidates import read_settings
from transferkit.transfer.strategies._class_statistics import summarise_classes
from transferkit.transfer.strategies._evidence import make_evidence, make_unsupervised_model, to_scores
from transferkit.transfer.strategies._fine_tuning import (
    Pace,
    check_fine_tuning,
    find_fine_tunable,
    fit_finetuned,
    leave_out_fine_tuning,
)
from transferkit.transfer.strategies._frozen import encode_folds, fit_any_head, fit_logistic
from transferkit.transfer.strategies._new_classes import adds_classes, fit_new_classes
from transferkit.transfer.strategies._scratch import fit_scratch_if_possible, fit_scratch_texts, make_baseline
from transferkit.transfer.strategies._source import check_source, fit_from_source
from transferkit.transfer.strategies._term_vectors import check_term_vectors, fit_term_vectors

__all__ = ["fit_evidence", "fit_given_head", "fit_strategies"]


def fit_given_head(estimator, strategy, X, y, is_text, sample_weight):
    """Return the outcome of a strategy with a head that is trained as it is, without cross-validation."""
    encoder = _make_encoder(estimator, strategy, is_text)
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    head = clone(estimator.head).fit(encoder.fit_transform(X, y), y, **weights)
    outcome = Outcome(strategy, encoder, head, np.zeros(0), [make_row(strategy, [], weight=1.0)])
    counts = y.sum(0) if y.ndim == 2 else np.unique(y, return_counts=True)[1]
    outcome.attributes["summary_"] = summarise_untested(
        outcome, counts.tolist(), estimator.scoring, is_pretrained=_has_pretrained(estimator, strategy)
    )
    return outcome


def fit_strategies(
    estimator,
    strategy,
    X,
    y,
    *,
    is_text,
    sample_weight=None,
    groups=None,
    terms=None,
    cv=None,
    evidence=None,
    progress=UNWATCHED,
):
    """Return the outcome of the selected strategy, trained on all rows, and those of all that were compared.

    Parameters
    ----------
    estimator : TransferClassifier
        Estimator whose other parameters are used.
    strategy : str
        Name of a strategy, or "auto".
    X : list of str, array or sparse matrix
        Raw input.
    y : ndarray
        Labels.
    is_text : bool
        Whether X holds texts.
    sample_weight, groups : array-like, default=None
        As given to `fit`.
    terms : Terms, default=None
        Those of "term_vectors"; made from the encoder and the texts if None.
    cv : int, splitter or iterable of (train, test) indices, default=None
        Folds of these rows; those of the estimator if None.
    evidence : Evidence, default=None
        What is known beside labels.
    progress : FitProgress, default=UNWATCHED
        Reports strategies and candidates. A request to stop ends the comparison after the strategy that is being tried.

    Returns
    -------
    outcome : Outcome
        The selected one.
    outcomes : list of Outcome
        One per strategy.
    """
    settings = read_settings(estimator.head, estimator.device)
    names = []
    if estimator.source is not None:
        check_source(strategy, estimator.head, settings)
        if adds_classes(estimator.source, y):
            given = {"is_text": is_text, "sample_weight": sample_weight, "groups": groups}
            taken = fit_new_classes(estimator, X, y, settings, **given)
            return taken, [taken]
    else:
        names = _list_strategies(estimator, strategy, X, is_text, settings)
    task = ClassificationTask(
        estimator,
        y,
        cv=estimator.cv if cv is None else cv,
        scoring=estimator.scoring,
        class_weight=None if settings is None else settings.class_weight,
        sample_weight=sample_weight,
        groups=groups,
        random_state=estimator.random_state,
        progress=progress,
    )
    if estimator.source is not None:
        encoder = None if estimator.encoder is None else make_encoder(estimator.encoder)
        options = {"is_text": is_text, "is_default_head": estimator.head is None}
        taken, outcomes = fit_from_source(estimator.source, encoder, X, task, settings, **options)
        taken.attributes["summary_"] = summarise(task, taken, outcomes, estimator.scoring)
        return taken, outcomes
    if evidence is not None and evidence.unlabelled is not None and not task.has_folds:
        taken = fit_evidence(estimator, strategy, task.classes, evidence, X, task, terms)
        return taken, [taken]
    sources = evidence if evidence is not None and evidence.has_sources else None
    options = {"terms": terms, "evidence": {"term_vectors" if "term_vectors" in names else "frozen": sources}}
    is_auto = strategy == "auto"
    if is_auto and not task.has_folds:
        names = [name for name in names if name != "finetune"]  # nothing would show whether it helps
    if "finetune" in names and task.n_weights > 1:
        names = leave_out_fine_tuning(names)
    fit = partial(_fit_strategy, estimator, X=X, is_text=is_text, task=task, settings=settings, **options)
    if is_auto:
        fit_scratch = partial(fit_scratch_if_possible, fit, estimator.encoder, X, is_text)
        fit = partial(_fit_one_of_several, fit, fit_scratch)
    outcomes = fit_in_turn(fit, names, progress)
    report_undefined(task, outcomes)
    taken = choose([outcome for outcome in outcomes if outcome.head is not None])
    is_pretrained = _has_pretrained(estimator, strategy)
    taken.attributes["summary_"] = summarise(task, taken, outcomes, estimator.scoring, is_pretrained=is_pretrained)
    taken.attributes["class_statistics_"] = summarise_classes(task, taken)
    if is_auto:
        _warn_without_transfer(taken, estimator.encoder, len(task.y), is_text)
    if evidence is not None and evidence.class_prior is not None:
        _apply_class_prior(taken.head, task, evidence.class_prior)
    return taken, outcomes


def fit_evidence(estimator, strategy, classes, evidence, X=(), task=None, terms=None):
    """Return the outcome of all evidence together, with no or too few labels for folds.

    Parameters
    ----------
    estimator : TransferClassifier
        Estimator whose other parameters are used.
    strategy : str
        "auto", "term_vectors" or "frozen".
    classes : ndarray of shape (n_classes,)
        Labels, sorted.
    evidence : Evidence
        What is known beside labels, with unlabelled rows.
    X : list of str, array or sparse matrix, default=()
        Labelled rows.
    task : ClassificationTask, default=None
        Their labels, None without any.
    terms : Terms, default=None
        Those of "term_vectors"; made from the encoder and X if None.

    Returns
    -------
    outcome : Outcome
        Encoder and head.
    """
    encoder, settings = make_encoder(estimator.encoder), read_settings(estimator.head, estimator.device)
    encoder.fit(evidence.unlabelled)  # warns of texts whose words are unknown
    projection = find_projection(encoder) if evidence.is_text and strategy != "frozen" else None
    strategy = "frozen" if projection is None else "term_vectors"
    attributes, encode = {}, encoder.transform
    evidence = replace(evidence, sums_vectors=projection is not None)
    if projection is not None:
        terms = join_terms(projection, X) if terms is None else terms
        encoder, encode = terms.encoder, terms.encode
        if terms.characters is not None:  # several tasks share the columns of all terms
            encoder = join_characters(encoder, terms.characters)
    if task is None:
        coef, intercept = make_unsupervised_model(evidence, encode).final
    else:
        coef, intercept = make_evidence(evidence, encode, encode(X), task, settings)[-1].final
    if projection is not None:
        n_characters = 0 if terms.characters is None else len(terms.characters.idf_)
        coef = attributes["evidence_coef_"] = terms.project(coef, len(terms.encoder.idf_) + n_characters)
    coef = np.ascontiguousarray(coef.T).T
    head = make_head(classes, coef, intercept.astype(coef.dtype), **settings.parameters(settings.few_labels_C()))
    row = make_row(strategy, [], evidence=evidence.name, evidence_factor=1.0, weight=1.0)
    outcome = Outcome(strategy, encoder, head, np.zeros(0), [row], attributes=attributes)
    if task is None:
        attributes["summary_"] = summarise_untested(outcome, [0] * len(classes), estimator.scoring)
    else:
        outcome.features = encoder.transform(X)
        attributes["summary_"] = summarise(task, outcome, [outcome], estimator.scoring)
        attributes["class_statistics_"] = summarise_classes(task, outcome)
    return outcome


def _apply_class_prior(head, task, class_prior):
    """Move the intercepts from the shares of the labels, under which they were trained, to given ones."""
    shares = np.bincount(task.targets, task.row_weights[:, 0], len(class_prior))
    shift = to_scores(np.log(class_prior) - np.log(shares / shares.sum()))
    head.intercept_ = head.intercept_ + shift.astype(head.intercept_.dtype)


def _make_encoder(estimator, strategy, is_text):
    """Return the encoder of a strategy, not yet fitted unless it is pretrained."""
    if strategy == "scratch":
        return make_baseline(estimator.encoder, is_text)
    check_has_encoder(estimator, strategy)
    return make_encoder(estimator.encoder)


def _has_pretrained(estimator, strategy):
    """Return whether nothing is fitted to the labelled samples in place of a pretrained encoder."""
    return strategy == "scratch" or is_frozen(estimator.encoder)


def _list_strategies(estimator, strategy, X, is_text, settings):
    """Return the names of the strategies to compare, after checking that a given one applies."""
    if strategy == "scratch":
        return [strategy]
    encoder = _make_encoder(estimator, strategy, is_text)
    if is_frozen(estimator.encoder):
        encoder.fit(X)  # warns of texts whose words are unknown
    if strategy == "term_vectors":
        check_term_vectors(encoder, estimator.head, settings, is_text)
    if strategy == "finetune":
        check_fine_tuning(encoder, estimator.head, settings)
    if strategy != "auto":
        return [strategy]
    is_pretrained = settings is not None and is_frozen(estimator.encoder)
    if is_text and is_pretrained and find_projection(encoder) is not None:
        # fine-tuning the vectors took ten times as long, and was no better
        return ["term_vectors", "frozen", "scratch"]
    tunable = find_fine_tunable(encoder) if is_pretrained else None
    can_tune = tunable is not None and tunable.can_fine_tune(quickly=True)
    return [*["finetune"] * can_tune, "frozen", "scratch"]


def _fit_strategy(estimator, strategy, X, is_text, task, settings, terms, evidence):
    """Return the outcome of one strategy, trained on all rows and evaluated on the folds of the task."""
    encoder = _make_encoder(estimator, strategy, is_text)
    is_pretrained = is_frozen(estimator.encoder)
    if settings is None:
        return fit_any_head(strategy, encoder, estimator.head, X, task)
    if strategy in ("term_vectors", "finetune") and not is_pretrained:
        encoder.fit(X, task.y)
    if strategy == "term_vectors":
        options = {"terms": terms, "evidence": evidence.get(strategy)}
        return fit_term_vectors(encoder, X, task, settings, is_default_head=estimator.head is None, **options)
    if strategy == "finetune":
        pace = Pace(estimator.encoder_learning_rate, estimator.unfreeze_at, estimator.anchor_strength)
        seed = int(check_random_state(estimator.random_state).randint(2**31 - 1))
        return fit_finetuned(find_fine_tunable(encoder), X, task, settings, pace, seed)
    if strategy == "scratch" and is_text:
        return fit_scratch_texts(encoder, X, task, settings)
    of_folds, is_fitted_here = None, strategy == "scratch" or not is_pretrained
    if strategy == "frozen" and is_fitted_here:
        of_folds = encode_folds(encoder, X, task.y, task.folds)
    features = encoder.fit_transform(X, task.y) if is_fitted_here else encoder.transform(X)
    return fit_logistic(strategy, encoder, features, task, settings, of_folds, evidence.get(strategy))


def _fit_one_of_several(fit, fit_scratch, name):
    return fit_scratch() if name == "scratch" else fit(name)


def _warn_without_transfer(outcome, encoder, n_labelled, is_text):
    """Warn if pretraining did not help; or if there was none, and the encoder did not help or nothing shows it."""
    share = 1 - pretrained_share(outcome)
    helps, is_pretrained = not share > 1 - LEAST_SHARE, is_frozen(encoder)
    is_tested = len(outcome.fold_scores) > 0
    if helps and (is_pretrained or is_tested):
        return
    without = f"candidates with little or none of it have a weight of {share:.0%}"
    how = "scratch did better" if outcome.strategy == "scratch" else without
    found = f"did not help on held-out labels: {how} (see strategy_scores_)."
    if is_pretrained:
        text = f"Transfer {found} An encoder pretrained on data closer to the task may help."
    else:
        found = found if is_tested else "is not tested on held-out labels, of which there are too few."
        text = (
            f"The encoder was not pretrained but fitted to the {n_labelled} labelled samples alone, and {found} "
            f"{how_to_pretrain(encoder, is_text)}"
        )
    warnings.warn(text, UserWarning, stacklevel=count_inner_frames())
