"""Fine-tuning: the encoder's arrays are trained together with the head."""

import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import clone

from transferkit._algorithms.networks.layers import Linear, predict
from transferkit.encoders import PretrainedEncoder
from transferkit.encoders.protocols import FineTunable
from transferkit.transfer._evaluation import Outcome, make_row
from transferkit.transfer.strategies._frozen import fit_logistic

__all__ = ["Pace", "check_fine_tuning", "find_fine_tunable", "fit_finetuned", "leave_out_fine_tuning"]

LEARNING_RATE, MOST_EPOCHS = 3e-3, 30
BATCH_SIZE, BATCH_SIZE_OF_MANY, MANY_ROWS = 32, 256, 5000
HELD_OUT, FEWEST_TO_HOLD_OUT = 0.15, 200  # with fewer rows training takes all epochs


class Pace(NamedTuple):
    """Learning rate of the encoder, epoch in which its training begins, and penalty on its changes."""

    encoder_learning_rate: float
    unfreeze_at: int
    anchor_strength: float


def fit_finetuned(encoder, X, task, settings, pace, seed):
    """Return the outcome of the strategy "finetune".

    Parameters
    ----------
    encoder : FineTunable
        Fitted; it is not changed.
    X : list of str or array
        Raw input.
    task : ClassificationTask
        Labels and folds.
    settings : LogisticSettings
        Candidates for C; the head begins as the best logistic regression on the encoder as it is.
    pace : Pace
        How the encoder is trained.
    seed : int
        Seed of the batches and of the rows held out for early stopping.

    Returns
    -------
    outcome : Outcome
        The tuned copy of the encoder, and its head.
    """
    began = time.perf_counter()
    rows, layers, put_back = _keep_used(*encoder.to_network(X))
    features = predict(layers, rows)
    start = fit_logistic("finetune", encoder, features, task, settings).head
    scores = np.zeros((len(task.targets), len(task.folds) + 1, len(start.coef_)), np.float32)
    for fold, (train, test) in enumerate(task.folds):
        of_fold = task.fold_weights[:, fold]
        begin = clone(start).fit(features[train], task.y[train], sample_weight=task.sample_weight[train])
        begin = task.spread_classes(begin)
        tuned, coef, intercept = _train(rows, layers, begin, task, of_fold, pace, settings, seed)
        scores[test, fold] = predict(tuned, rows[test]) @ coef.T + intercept
    tuned, coef, intercept = _train(rows, layers, start, task, task.fold_weights[:, -1], pace, settings, seed)
    head = task.make_head(coef, intercept, **settings.parameters(start.C))
    fold_scores = task.held_out.score(scores)
    seconds = time.perf_counter() - began
    row = make_row("finetune", fold_scores, C=start.C, weight=1.0, log_loss=task.loss(scores), seconds=seconds)
    return Outcome("finetune", encoder.with_layers(put_back(tuned)), head, fold_scores, [row], row["log_loss"])


def find_fine_tunable(encoder):
    """Return the encoder (behind a frozen one) if it can be fine-tuned with its parameters, else None."""
    if isinstance(encoder, PretrainedEncoder):
        encoder = encoder.encoder_
    return encoder if isinstance(encoder, FineTunable) and encoder.can_fine_tune() else None


def check_fine_tuning(encoder, head, settings):
    """Raise ValueError if the strategy does not apply.

    Parameters
    ----------
    encoder : transformer
        Encoder, perhaps unfitted.
    head : classifier or None
        Head as given.
    settings : LogisticSettings or None
        Settings that the head specifies.
    """
    if settings is None:
        raise ValueError(
            "strategy='finetune' trains a linear layer as head: head must be None, a LogisticHead or a LogisticHeadCV. "
            f"Got {head!r}. Use strategy='frozen' with this head."
        )
    encoder = getattr(encoder, "encoder_", encoder)
    if find_fine_tunable(encoder) is None:
        raise ValueError(
            "strategy='finetune' needs an encoder with arrays that can be trained: a WordVectorEncoder that pools by "
            "'mean' or 'tfidf', an LSAEncoder, an AutoencoderEncoder, or a TorchEncoder of a module whose parameters "
            f"require gradients. Got {encoder!r}. Use strategy='frozen'."
        )


def leave_out_fine_tuning(names):
    """Return the other strategies; raise ValueError if there are none."""
    if len(names) > 1:
        return [name for name in names if name != "finetune"]
    raise ValueError(
        "strategy='finetune' has one weight for each row, not one for each label: class_weight of the head must be "
        "None when y is an indicator matrix."
    )


def _keep_used(rows, layers):
    """Return rows and layers without inputs that no row has, and a function that puts trained layers back."""
    if not sparse.issparse(rows):
        return rows, layers, lambda tuned: tuned
    used = np.unique(rows.indices)
    indices = np.searchsorted(used, rows.indices).astype(np.int32)
    reduced = sparse.csr_matrix((rows.data, indices, rows.indptr), shape=(rows.shape[0], len(used)))

    def put_back(tuned):
        weights = layers[0].weights.copy()
        weights[used] = tuned[0].weights
        return [replace(tuned[0], weights=weights), *tuned[1:]]

    return reduced, [replace(layers[0], weights=layers[0].weights[used]), *layers[1:]], put_back


def _train(rows, layers, start, task, weights, pace, settings, seed):
    """Return trained layers, and weights (n_outputs, n_features) and intercepts of the head."""
    from transferkit._training.network.data import Examples
    from transferkit._training.network.parameters import ParameterGroup
    from transferkit._training.network.training import TrainingOptions, train_network

    chosen = np.flatnonzero(weights > 0)
    targets = task.targets if task.n_outputs > 1 else task.targets.reshape(len(task.targets), -1).astype(np.float32)
    kept, held = _hold_out(chosen, seed)
    alpha = 1 / (start.C * max(float(weights[chosen].sum()), 1e-12))
    encoder_group = ParameterGroup(
        "encoder", pace.encoder_learning_rate, pace.unfreeze_at, anchor_strength=pace.anchor_strength
    )
    head_group = ParameterGroup("head", alpha=alpha)
    coef = np.ascontiguousarray(start.coef_.T, dtype=np.float32)
    shift = start.intercept_.astype(np.float32)
    network = [*layers, Linear(coef, shift if settings.fit_intercept else None)]
    groups = [encoder_group] * len(layers) + [head_group]
    options = TrainingOptions(
        loss="cross_entropy",
        learning_rate_init=LEARNING_RATE,
        learning_rate="cosine",
        learning_rate_epochs=MOST_EPOCHS,
        batch_size=min(BATCH_SIZE if len(kept) < MANY_ROWS else BATCH_SIZE_OF_MANY, len(kept)),
        max_epochs=MOST_EPOCHS,
        early_stopping=len(held) > 0,
        patience=5,
        seed=seed,
        device=settings.device,
    )
    given = [Examples(rows[part], targets[part], weights[part]) for part in (kept, held)]
    validation = given[1] if len(held) else None
    *tuned, last = train_network(network, given[0], options, validation=validation, groups=groups).layers
    shift = last.intercept if settings.fit_intercept else np.zeros_like(shift)
    return tuned, np.ascontiguousarray(last.weights).T, shift


def _hold_out(chosen, seed):
    """Return the rows to train on and, if there are enough, those held out for early stopping."""
    if len(chosen) < FEWEST_TO_HOLD_OUT:
        return chosen, chosen[:0]
    shuffled = np.random.RandomState(seed).permutation(chosen)
    n_held = int(HELD_OUT * len(chosen))
    return np.sort(shuffled[n_held:]), np.sort(shuffled[:n_held])
