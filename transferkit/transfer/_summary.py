"""Did transfer help? The answer of held-out labels, as data and as a sentence."""

import warnings

import numpy as np

from transferkit.transfer._evaluation import average_scores, subtract_scores

__all__ = [
    "pretrained_share",
    "summarise",
    "summarise_adaptation",
    "summarise_errors",
    "summarise_new_classes",
    "summarise_untested",
]

WITHOUT_TRANSFER = ("scratch", "target only")  # strategies
SMALL_ALPHA = 0.25  # up to this alpha, term vectors have little influence
LEAST_SHARE = 0.5  # of the weight that candidates with pretraining must have
STANDARD_ERRORS = 2.0  # of the gain, which must be larger
_NOT_PRETRAINED = "Nothing was transferred: the encoder was fitted to the labelled samples alone"
_NAMES = {"frozen": "encoder", "finetune": "fine-tuned encoder", "transfer": "source model"}


def summarise(task, outcome, outcomes, scoring=None, *, is_pretrained=True):
    """Return what held-out labels say of transfer.

    Parameters
    ----------
    task : ClassificationTask
        Labels and folds.
    outcome : Outcome
        The selected one.
    outcomes : list of Outcome
        One per strategy that was compared.
    scoring : str, callable or None
        Score of the folds; accuracy if None.
    is_pretrained : bool, default=True
        Whether the encoder was pretrained, rather than fitted to the labelled samples.

    Returns
    -------
    summary : dict
        See `summary_` of `TransferClassifier`.
    """
    summary = _start(outcome.strategy, [int(count) for count in _count(task)], scoring, _find_shares(outcome))
    if len(outcome.fold_scores) == 0:
        reason = "No labels were held out" if task.has_folds else "Too few labels to hold any out"
        return _finish_untested(summary, reason, is_pretrained)
    tested = [other for other in outcomes if other.head is not None and len(other.fold_scores)]
    transfers = [other for other in tested if other.strategy not in WITHOUT_TRANSFER]
    with_transfer = outcome if outcome in transfers else max(transfers, key=lambda other: other.mean, default=None)
    of_transfer = None if with_transfer is None else with_transfer.fold_scores
    of_baseline = _find_baseline(tested)
    gain, gain_error = np.nan, np.nan
    if of_transfer is not None and of_baseline is not None:
        gain, gain_error = average_scores(subtract_scores(of_transfer, of_baseline))
        if task.held_out.is_accuracy and not np.isnan(gain):
            gain_error = np.fmax(gain_error, _sign_error(gain, int(task.held_out.is_held.sum())))
    helped = is_pretrained and outcome in transfers and is_gain(gain, gain_error, pretrained_share(outcome))
    summary |= {
        "with_transfer": _mean(of_transfer),
        "without_transfer": _mean(of_baseline),
        "majority": _mean(_score_majority(task)),
        "standard_error": _plain(average_scores(outcome.fold_scores)[1]),
        "gain": _plain(gain),
        "gain_standard_error": _plain(gain_error),
        "helped": None if np.isnan(gain) else bool(helped),
        "n_folds": len(task.folds),
    }
    return summary | {"text": _write(summary, is_pretrained)}


def summarise_untested(outcome, counts, scoring=None, *, is_pretrained=True):
    """Return the summary of a model for which no labels were held out.

    Parameters
    ----------
    outcome : Outcome
        The model.
    counts : list of int
        Number of labels of each class.
    scoring : str, callable or None
        Score that would have been used.
    is_pretrained : bool, default=True
        As for `summarise`.

    Returns
    -------
    summary : dict
        As `summarise` returns it; scores are None.
    """
    reason = "No labels were held out" if sum(counts) else "There were no labels"
    return _finish_untested(_start(outcome.strategy, counts, scoring, _find_shares(outcome)), reason, is_pretrained)


def summarise_new_classes(strategy, counts, n_new, recall):
    """Return the summary of a model to which classes were added.

    Parameters
    ----------
    strategy : str
        Name of the strategy.
    counts : array of shape (n_classes,)
        Number of labels of each class.
    n_new : int
        Number of new classes.
    recall : float or None
        Share of the held-out rows of new classes that get their label, None without folds.

    Returns
    -------
    summary : dict
        As `summarise` returns it; scores are None.
    """
    n_known = len(counts) - n_new
    found = "Too few labels to hold any out" if recall is None else f"{100 * recall:.1f} % of their held-out rows found"
    text = (
        f"Added {n_new} to {n_known} classes. {found}. Rows of the old classes were not at hand, so that nothing shows "
    )
    return _start(strategy, [int(count) for count in counts]) | {"text": text + "how many of these are lost."}


def summarise_adaptation(table, counts):
    """Return what is known of an adaptation to a domain without labels, so that no score shows its gain.

    Parameters
    ----------
    table : dict of str to ndarray
        `adaptation_scores_` of `DomainTransferClassifier`: candidates, the first without adaptation, and their mean.
    counts : array of shape (n_classes,)
        Number of labels of each class.

    Returns
    -------
    summary : dict
        As `summarise` returns it; scores and "helped" are None, and "shares" are the weights of the candidates.
    """
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    used = next(row for row in rows if row["chosen"])
    strategy, is_mean = str(used["adaptation"]), used is rows[-1] and len(rows) > 1
    shares = {str(row["adaptation"]): float(row["weight"]) for row in rows[:-1]} if is_mean else {}
    text = f"Adaptation {strategy} is in use. No labels of the target were held out: nothing shows whether it helped."
    if strategy == "none":
        reason = ": held-out labels of the source do not show that adapting keeps what they teach"
        text = f"No adaptation is in use{reason if len(rows) > 1 else ''}."
    if len(rows) > 1:
        names = ["without adaptation", *(f"by {row['adaptation']}" for row in rows[1:-1]), "by their mean"]
        found = [f"{100 * row['held_out']:.1f} % {name}" for row, name in zip(rows, names, strict=True)]
        text += f" Right on held-out samples of the source: {', '.join(found)}."
    if is_mean:
        agree = [
            f"{row['adaptation']} {100 * row['weight']:.0f} % ({100 * row['agreement']:.0f} %)" for row in rows[:-1]
        ]
        text += f" Weights (and agreement on the target): {', '.join(agree)}."
    return _start(strategy, [int(count) for count in counts], shares=shares) | {"text": text}


def summarise_errors(outcome, outcomes, y, sample_weight=None, *, is_pretrained=True):
    """Return what the errors on held-out samples say of transfer to targets that are numbers.

    Mean squared errors are all that is known of them, so that no standard error tells a gain from noise.

    Parameters
    ----------
    outcome : Outcome
        The selected one.
    outcomes : list of Outcome
        One per strategy that was compared, of which "loss" is the mean squared error.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.
    is_pretrained : bool, default=True
        As for `summarise`.

    Returns
    -------
    summary : dict
        As `summarise` returns it, with R2 in place of accuracy; "helped" is None, and there are no counts of classes.
    """
    summary = _start(outcome.strategy, [], "r2", _find_shares(outcome)) | {"n_labels": len(y)}
    of_mean = _left_out_variance(y, sample_weight)
    if np.isnan(outcome.loss) or not of_mean > 0:
        return _finish_untested(summary, "No errors on held-out labels are known", is_pretrained)
    losses = {"with_transfer": [], "without_transfer": []}
    for other in outcomes:
        losses["without_transfer" if other.strategy in WITHOUT_TRANSFER else "with_transfer"].append(other.loss)
        losses["without_transfer"] += [-row["mean"] for row in other.rows if row["alpha"] == 0]
    if outcome.strategy not in WITHOUT_TRANSFER:
        losses["with_transfer"] = [outcome.loss]
    known = {name: [1 - loss / of_mean for loss in found if not np.isnan(loss)] for name, found in losses.items()}
    summary |= {name: max(found) if found else None for name, found in known.items()}
    if None not in (summary["with_transfer"], summary["without_transfer"]):
        summary["gain"] = summary["with_transfer"] - summary["without_transfer"]
    return summary | {"text": _write(summary, is_pretrained)}


def _left_out_variance(y, sample_weight):
    """Return the mean squared error of predicting each sample by the mean of the others."""
    y = np.asarray(y, np.float64).reshape(len(y), -1)
    weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    total = weights.sum()
    if len(y) < 2:
        return np.nan
    residuals = (y - np.average(y, axis=0, weights=weights)) * (total / (total - weights))[:, None]
    return float(np.average(np.square(residuals).mean(1), weights=weights))


def pretrained_share(outcome):
    """Return the share of the weight of candidates that owe something to pretraining or to evidence beside labels."""
    if outcome.strategy in WITHOUT_TRANSFER:
        return 0.0
    return _sum_weights(outcome, lambda row: bool(row["evidence"]) or not row["alpha"] <= SMALL_ALPHA)


def is_gain(gain, standard_error, share):
    """Return whether transfer is said to have helped: by more than noise, and with pretraining in most of the model."""
    return bool(gain > STANDARD_ERRORS * standard_error and share > LEAST_SHARE)


def _sign_error(gain, n_labels):
    """Return the least standard error of a difference of accuracies on the same labels.

    The error is the square root of the number of labels on which only one of two models is right, divided by the number
    of labels (McNemar, 1947); there are at least as many of these as the difference counts. The errors of a few folds
    of a few labels are often much too small by chance.
    """
    return np.sqrt(abs(gain) / n_labels)


def _start(strategy, counts, scoring=None, shares=None):
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    empty = ("with_transfer", "without_transfer", "majority", "standard_error", "gain", "gain_standard_error", "helped")
    return {
        "text": "",
        "score": "accuracy" if scoring is None else name,
        **dict.fromkeys(empty),
        "n_folds": 0,
        "n_labels": int(sum(counts)),
        "class_counts": list(counts),
        "strategy": strategy,
        "shares": {} if shares is None else shares,
    }


def _count(task):
    return task.targets.sum(0) if task.multilabel else np.bincount(task.targets, minlength=len(task.classes))


def _find_baseline(outcomes):
    """Return the fold scores of the model without transfer that has the least loss, or None."""
    found = [(other.loss, other.fold_scores) for other in outcomes if other.strategy in WITHOUT_TRANSFER]
    found += [other.baseline for other in outcomes if other.baseline is not None]
    return min(found, key=lambda pair: (np.isnan(pair[0]), pair[0]), default=(None, None))[1]


def _score_majority(task):
    """Return the scores of the most frequent class, (n_folds,), or None if the scorer refuses such predictions."""
    try:
        with warnings.catch_warnings(action="ignore"):  # such as that no label is predicted of some class
            return task.held_out.score(_decide_majority(task))
    except ValueError:
        return None


def _decide_majority(task):
    """Return decision values (n_samples, n_folds, n_scores) that are the class frequencies of each training part."""
    values = []
    for train, _ in task.folds:
        weights = task.sample_weight[train].astype(np.float64)
        if task.multilabel:
            ones = weights @ task.targets[train]
            counts = np.stack([weights.sum() - ones, ones])
        else:
            counts = np.bincount(task.targets[train], weights, len(task.classes))
        logs = np.log(np.maximum(counts, 1e-12))
        values.append(logs if task.n_outputs > 1 and not task.multilabel else np.atleast_1d(logs[1] - logs[0]))
    return np.broadcast_to(np.stack(values)[None], (len(task.targets), len(values), task.n_scores))


def _find_shares(outcome):
    """Return the share of the weight of what was used, by name."""
    shares = {}
    if outcome.strategy in _NAMES:
        shares[_NAMES[outcome.strategy]] = 1.0
    if outcome.strategy == "term_vectors":
        shares["term vectors"] = _sum_weights(outcome, lambda row: not row["alpha"] <= 0)
    for column in ("evidence", "terms"):
        for name in dict.fromkeys(row[column] for row in outcome.rows):
            if name not in ("", "words"):
                shares[name] = _sum_weights(outcome, lambda row, name=name, column=column: row[column] == name)
    return {name: share for name, share in shares.items() if share > 0}


def _sum_weights(outcome, is_counted):
    return float(sum(row["weight"] for row in outcome.rows if row["weight"] > 0 and is_counted(row)))


def _mean(fold_scores):
    return None if fold_scores is None else _plain(average_scores(fold_scores)[0])


def _plain(value):
    return None if np.isnan(value) else float(value)


def _finish_untested(summary, reason, is_pretrained):
    used = f"Strategy {summary['strategy']}{_write_shares(summary)}."
    not_pretrained = "" if is_pretrained else f"{_NOT_PRETRAINED}. "
    return summary | {"text": f"{reason}: nothing shows whether transfer helped. {not_pretrained}{used}"}


def _write(summary, is_pretrained):
    """Return the summary as two sentences."""
    is_accuracy = summary["score"] in ("accuracy", "balanced_accuracy")
    unit = " %" if is_accuracy else ""

    def write(value, sign=""):
        return f"{100 * value:{sign}.1f}" if is_accuracy else f"{value:{sign}.3f}"

    what = "transfer" if is_pretrained else "the encoder"
    named = {f"with {what}": "with_transfer", "without": "without_transfer", "majority class": "majority"}
    parts = [f"{write(summary[key])}{unit} {name}" for name, key in named.items() if summary[key] is not None]
    error = "" if summary["standard_error"] is None else f", +-{write(summary['standard_error'])}"
    folds = f"{summary['n_labels']} labels" + (f", {summary['n_folds']} folds{error}" if summary["n_folds"] else "")
    text = f"{summary['score']} on held-out labels: {', '.join(parts)}; {folds}. "
    text = text[0].upper() + text[1:]
    used = f"Strategy {summary['strategy']}{_write_shares(summary)}."
    if summary["gain"] is None:
        return text + used
    gain_error = "" if summary["gain_standard_error"] is None else f" +-{write(summary['gain_standard_error'])}"
    gain = f"({write(summary['gain'], '+')}{gain_error})"
    if not is_pretrained:
        return f"{text}{_NOT_PRETRAINED} {gain}. {used}"
    if summary["helped"] is None:
        return f"{text}Difference {gain}, whose standard error is not known. {used}"
    if summary["helped"]:
        return f"{text}Transfer helped {gain}. {used}"
    return f"{text}No clear gain from transfer {gain}. {used}"


def _write_shares(summary):
    """Return the weight of the candidates that use each source; many use several of them."""
    shares = [f"with {name} {100 * share:.0f} %" for name, share in summary["shares"].items()]
    return f"; weight of candidates {', '.join(shares)}" if shares else ""
