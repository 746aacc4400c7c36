"""Training of the weights that pruning has left: those that are zero stay zero."""

from copy import copy
from dataclasses import replace
from math import ceil

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_random_state

from transferkit.heads.mlp._base import make_layers, read_attributes
from transferkit.heads.mlp._parameters import WHOLE_SOLVERS

# Chosen on a validation split of 20 Newsgroups, 256-128 units, 80 and 90 % pruned: longer training gains little there.
LEAST_EPOCHS, LEAST_STEPS = 20, 500
MOST_ITERATIONS = 200  # of L-BFGS
REGULARISERS = ("dropout", "mixup", "feature_noise", "feature_dropout")


def refit_network(network, X, y, random_state, penalty=None, is_near_start=False):
    """Return weights and intercepts of a network head after training in which zeros stay zero.

    Networks take the solver and the regularisation that they were trained with, for 20 epochs and at least 500 steps,
    while the rate falls to zero; linear ones, and those that see all rows in each step, take L-BFGS.

    Parameters
    ----------
    network : MLPHeadClassifier or MLPHeadRegressor
        Fitted, with dense weights, batch normalisation folded in. It is not changed.
    X, y : array-like
        Rows to train on.
    random_state : int, RandomState instance or None
        Seed of the order of rows, dropout and augmentation.
    penalty : float, default=None
        Strength of the penalty on the squared weights beside the sum of the losses; by default what `alpha` says.
    is_near_start : bool, default=False
        Whether that penalty is on the squared distance from the weights as they are.
    """
    from transferkit._training.network.data import Examples
    from transferkit._training.network.parameters import ParameterGroup
    from transferkit._training.network.training import train_network

    whole = len(network.coefs_) == 1 or network.solver in WHOLE_SOLVERS
    trainer = copy(network).set_params(
        solver="lbfgs" if whole else network.solver,
        learning_rate_init=getattr(network, "learning_rate_init_", 1.0),  # L-BFGS looks at none
        learning_rate="cosine",
        warmup=0,
        batch_norm=False,
        batch_schedule="constant",
        tol=1e-6 if whole else None,
        early_stopping=False,
        swa=None,
        prune_schedule=None,
        random_state=random_state,
    )
    if whole:
        trainer.set_params(clip_norm=None, clip_value=None, **dict.fromkeys(REGULARISERS, 0))
    X, y = trainer._validate(X, y, reset=False)
    problem = trainer._read_problem(X, y, None, vars(trainer))
    strength = trainer.alpha if penalty is None else penalty / problem.X.shape[0]
    trainer.alpha = 0 if is_near_start else strength
    options = trainer._options(problem, problem.rows, check_random_state(random_state), max_epochs=MOST_ITERATIONS)
    if not whole:
        n_epochs = max(LEAST_EPOCHS, ceil(LEAST_STEPS * options.batch_size / problem.X.shape[0]))
        options = replace(options, max_epochs=n_epochs)
    X, targets, weights = problem.rows
    [first, *others], mean = network.intercepts_, np.zeros(X.shape[1])
    if whole and not issparse(X):  # L-BFGS needs as few steps far from the origin as near it
        mean = X.mean(axis=0, dtype=np.float64)
        X = (X - mean).astype(X.dtype)
    first = first + mean @ network.coefs_[0]
    layers = make_layers((network.coefs_, [first, *others], [None] * len(network.coefs_)), trainer, X.dtype)
    group = ParameterGroup(alpha=trainer.alpha, anchor_strength=strength if is_near_start else 0.0)
    options = replace(options, keep_zeros=True)
    trained = train_network(layers, Examples(X, targets, weights), options, groups=[group] * len(layers))
    read = read_attributes(trained.layers, trained.history)
    read["intercepts_"][0] = read["intercepts_"][0] - mean @ read["coefs_"][0]
    return [
        [array.astype(old.dtype) for array, old in zip(read[name], getattr(network, name), strict=True)]
        for name in ("coefs_", "intercepts_")
    ]
