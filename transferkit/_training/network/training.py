"""Training of a network: from layers, samples and options to trained layers, all in NumPy and SciPy."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.exceptions import ConvergenceWarning

from transferkit._algorithms.networks.layers import BatchNorm, Layer, Linear
from transferkit._training.device import choose_device, threads_for, with_own_modes
from transferkit._training.network.data import Augmentation, Examples, TrainingData
from transferkit._training.network.loop import (
    GraphStep,
    History,
    LineSearchStep,
    Objective,
    Stopping,
    UpdateStep,
    train,
    try_learning_rates,
)
from transferkit._training.network.losses import REGRESSION_LOSSES, accuracy, make_loss, r2
from transferkit._training.network.network import Network, count_outputs, count_products
from transferkit._training.network.optimisers import Optimiser
from transferkit._training.network.parameters import ParameterGroup
from transferkit._training.network.schedules import BatchSizes, GradualPruning, LearningRates, RangeTest, WeightAverage
from transferkit.exceptions import DivergenceError, count_inner_frames

__all__ = ["TrainedNetwork", "TrainingOptions", "make_objective", "train_network"]

EXPLODED = 1e3  # multiple of both the loss at the start and the loss of zeros, beyond which the last steps diverged
USELESS = 10.0  # multiple of the loss of zeros beyond which nothing useful was learned


@dataclass(frozen=True)
class TrainingOptions:
    """Options of training, as the docstrings of the network heads describe them."""

    loss: str = "cross_entropy"
    focal_gamma: float = 2.0
    huber_delta: float = 1.0
    label_smoothing: float = 0.0
    solver: str = "adam"
    momentum: float = 0.9
    clip_norm: float | None = None
    clip_value: float | None = None
    learning_rate_init: float | str = 1e-3
    learning_rate: str | Callable[[int], float] = "constant"
    learning_rate_decay: float = 0.5
    learning_rate_epochs: int = 10
    warmup: float = 0.0
    batch_size: int = 200
    batch_schedule: str | Callable[[int], int] = "constant"
    batch_epochs: int | Sequence[int] | str = 10
    max_epochs: int = 200
    schedule_epochs: int | None = None  # length of "cosine" and "one_cycle"; max_epochs if None
    past_losses: Sequence[float] = ()  # of earlier epochs, after which the schedules continue
    past_steps: int = 0
    tol: float | None = 1e-4
    patience: int = 10
    early_stopping: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    average_from: int | None = None
    pruning: tuple[float, int, int] | None = None
    keep_zeros: bool = False  # whether weights that are zero at the start stay zero
    seed: int = 0
    device: str = "auto"


@dataclass
class TrainedNetwork:
    """The layers after training, and its history."""

    layers: list[Any]
    history: History
    range_test: RangeTest | None
    optimiser_state: list[np.ndarray]


@with_own_modes()
def train_network(
    layers: Sequence[Layer],
    examples: Examples,
    options: TrainingOptions,
    *,
    groups: Sequence[ParameterGroup] | None = None,
    validation: Examples | None = None,
    optimiser_state: Sequence[np.ndarray] | None = None,
    is_partial: bool = False,
    in_place: bool = False,
    on_epoch: Callable[[Callable[[], list[Any]], History], bool] | None = None,
) -> TrainedNetwork:
    """Train a network of layers with their initial arrays; the first layer must be linear if X is sparse.

    Parameters
    ----------
    groups
        Options of training for each layer; by default all are trained, without penalties.
    validation
        Held-out data, scored after each epoch; with `options.early_stopping` the weights with the best score are
        restored.
    optimiser_state
        State of the optimiser after an earlier training of the same layers, to continue from.
    is_partial
        Whether this is one call of several, each with a part of the data.
    in_place
        Whether large arrays of the layers may be overwritten, which saves the memory of a copy.
    on_epoch
        Called after each epoch with a function that returns the current layers, and with the history; training ends if
        it returns true.

    Raises
    ------
    DivergenceError
        If the loss is no longer finite, or if the weights after the last step are not finite or have a loss that
        exploded.
    MemoryError
        If the device has too little memory; the message names the size of the features.
    """
    device = choose_device(options.device)
    try:
        with torch.no_grad(), threads_for(_count_products(layers, examples, options)):
            objective = make_objective(layers, examples, options, device, groups, validation, in_place)
            return _train(objective, options, optimiser_state, is_partial, on_epoch)
    except torch.OutOfMemoryError as error:
        raise MemoryError(_explain(error, options, examples, device)) from error


def make_objective(
    layers: Sequence[Layer],
    examples: Examples,
    options: TrainingOptions,
    device: torch.device,
    groups: Sequence[ParameterGroup] | None = None,
    validation: Examples | None = None,
    in_place: bool = False,
) -> Objective:
    """Move network and data to the device."""
    dtype = torch.float32 if examples.X.dtype == np.float32 else torch.float64
    data = TrainingData(
        examples,
        count_outputs(layers),
        device,
        dtype,
        options.seed,
        smoothing=options.label_smoothing,
        augmentation=options.augmentation,
        shuffle=options.solver not in ("gd", "lbfgs"),
        merge_single=any(isinstance(layer, BatchNorm) for layer in layers),
    )
    network = Network(
        layers,
        groups or [ParameterGroup()] * len(layers),
        sparse=sp.issparse(examples.X),
        device=device,
        dtype=dtype,
        generator=data.noise_generator,
        in_place=in_place,
    )
    loss = make_loss(
        options.loss, exclusive=examples.exclusive, focal_gamma=options.focal_gamma, huber_delta=options.huber_delta
    )
    metric = r2 if options.loss in REGRESSION_LOSSES else partial(accuracy, exclusive=examples.exclusive)
    return Objective(network, data, loss, validation, metric)


def _train(
    objective: Objective,
    options: TrainingOptions,
    optimiser_state: Sequence[np.ndarray] | None,
    is_partial: bool,
    on_epoch: Callable[[Callable[[], list[Any]], History], bool] | None,
) -> TrainedNetwork:
    network = objective.network
    if options.keep_zeros:
        for buffer in network.buffers:
            buffer.mask = (buffer.weights != 0).to(buffer.weights)
    found = None
    if options.learning_rate_init == "auto" and options.solver != "lbfgs":
        trial = UpdateStep(objective, _make_optimiser(network, options))
        found = try_learning_rates(objective, trial, options.batch_size)
    optimiser = _make_optimiser(network, options)
    if optimiser_state is not None:
        optimiser.restore(optimiser_state)
    settled = 0 if options.pruning is None else options.pruning[2] - 1  # epoch from which on the zeros stay the same
    average = pruning = None
    if options.average_from is not None:
        average = WeightAverage(network.buffers, max(options.average_from, settled))
    if options.pruning is not None:
        pruning = GradualPruning(network.buffers, *options.pruning)
    history = train(
        objective,
        _make_update(objective, optimiser, options),
        _make_rates(options, options.learning_rate_init if found is None else found.chosen),
        _make_sizes(options, objective),
        Stopping(options.max_epochs, options.tol, options.patience, options.early_stopping, settled),
        callbacks=[callback for callback in (pruning, average) if callback is not None],
        first_epoch=len(options.past_losses),
        on_epoch=None if on_epoch is None else lambda history: on_epoch(network.read, history),
    )
    if average is not None:
        _take_average(objective, average, options, len(history.loss))
    _check_end(objective, history, options, is_partial)
    return TrainedNetwork(network.read(in_place=True), history, found, optimiser.read() if is_partial else [])


def _make_optimiser(network: Network, options: TrainingOptions) -> Optimiser:
    return Optimiser(
        network.buffers,
        "gd" if options.solver == "lbfgs" else options.solver,
        momentum=options.momentum,
        clip_norm=options.clip_norm,
        clip_value=options.clip_value,
    )


def _make_update(objective: Objective, optimiser: Optimiser, options: TrainingOptions) -> UpdateStep:
    network = objective.network
    if options.solver == "lbfgs":
        return LineSearchStep(objective, optimiser)
    if network.device.type == "cuda" and not objective.data.is_sparse and not network.has_module:
        return GraphStep(objective, optimiser)
    return UpdateStep(objective, optimiser)


def _make_rates(options: TrainingOptions, initial: float | str) -> LearningRates:
    rates = LearningRates(
        1.0 if isinstance(initial, str) else initial,
        options.learning_rate,
        max_epochs=options.schedule_epochs or options.max_epochs,
        decay=options.learning_rate_decay,
        decay_epochs=options.learning_rate_epochs,
        warmup=options.warmup,
    )
    rates.resume(options.past_losses, options.past_steps)
    return rates


def _make_sizes(options: TrainingOptions, objective: Objective) -> BatchSizes:
    smallest = 2 if objective.network.batch_norms else 1  # a single sample has no variance
    n_samples = objective.data.n_samples
    sizes = BatchSizes(options.batch_size, n_samples, options.batch_schedule, options.batch_epochs, smallest)
    sizes.resume(options.past_losses)
    return sizes


def _check_end(objective: Objective, history: History, options: TrainingOptions, is_partial: bool) -> None:
    """Raise or warn if the final weights are useless; the loss of the last epoch does not include its last steps.

    Running statistics of batch normalisation that lag far behind the weights are recomputed, unless the training is
    partial.
    """
    loss, has_statistics = objective.final_loss(), bool(objective.network.batch_norms)
    if has_statistics and not is_partial and loss > USELESS * objective.loss_of_zeros():
        objective.refresh_statistics(options.batch_size)
        loss = objective.final_loss()
    grew = not has_statistics and loss > EXPLODED * history.loss[0]
    exploded = not math.isfinite(loss) or (grew and loss > EXPLODED * objective.loss_of_zeros())
    if exploded or not objective.is_finite():
        raise DivergenceError(len(history.loss), history.learning_rate[-1], loss if exploded else math.nan)
    if is_partial or options.loss not in REGRESSION_LOSSES:
        return  # scores of classes may be far too large and still in the right order
    of_zeros = objective.loss_of_zeros()
    if loss > USELESS * of_zeros > 0:
        warnings.warn(
            f"After {len(history.loss)} epochs the mean loss is {loss:.3g}, and {of_zeros:.3g} for a network that "
            "returns zeros: nothing useful was learned. Bring the features to unit scale (StandardScaler), or train "
            "longer.",
            ConvergenceWarning,
            stacklevel=count_inner_frames(),
        )


def _take_average(objective: Objective, average: WeightAverage, options: TrainingOptions, n_epochs: int) -> None:
    """Replace the weights by their average, unless early stopping found weights with a better validation score."""
    if average.n_epochs == 0:
        warnings.warn(
            f"No weights were averaged: training ended after {n_epochs} epochs, and the average begins after epoch "
            f"{average.first_epoch + 1} of {options.max_epochs} (swa, and the end of prune_schedule if there is one). "
            "Set tol=None, so that training takes all epochs, or a smaller swa.",
            UserWarning,
            stacklevel=count_inner_frames(),
        )
        return
    score, before = objective.validate(), objective.network.snapshot()
    average.apply()
    objective.refresh_statistics(options.batch_size)
    averaged = objective.validate()
    if options.early_stopping and score is not None and averaged is not None and averaged < score:
        objective.network.restore(before)


def _count_products(layers: Sequence[Layer], examples: Examples, options: TrainingOptions) -> float:
    """Return about how many products of numbers the forward pass of a step takes."""
    of_sample = count_products(layers)
    if sp.issparse(examples.X) and isinstance(layers[0], Linear):  # SciPy's product has one thread of its own
        of_sample -= layers[0].weights.size
    return of_sample * min(options.batch_size, examples.X.shape[0])


def _explain(error: BaseException, options: TrainingOptions, examples: Examples, device: torch.device) -> str:
    n_bytes = examples.X.data.nbytes if sp.issparse(examples.X) else examples.X.nbytes
    smaller = max(1, options.batch_size // 4)
    return (
        f"Training ran out of memory on {device}: the features alone take {n_bytes / 2**20:.1f} MiB there, and torch "
        f"says: {str(error).strip()} Try batch_size={smaller} (it was {options.batch_size}), fewer hidden units, or "
        "device='cpu'."
    )
