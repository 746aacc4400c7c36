"""Training of a network written down as layers: NumPy and SciPy in, NumPy out, torch in between."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.exceptions import ConvergenceWarning

from transferkit._algorithms.networks.layers import Layer, Linear
from transferkit._training.device import as_writable, choose_device, one_thread_if_small
from transferkit._training.modes import with_own_modes
from transferkit._training.modules.layer import ModuleLayer
from transferkit._training.network.companions import GradualPruning, WeightAverage
from transferkit._training.network.loop import History, Stepper, Stopping, train
from transferkit._training.network.losses import REGRESSION_LOSSES, find_loss
from transferkit._training.network.network import Network, count_operations
from transferkit._training.network.network_task import Augmentation, NetworkTask, ValidationSet
from transferkit._training.network.optimisers import Optimiser
from transferkit._training.network.parameters import ParameterGroup
from transferkit._training.network.randomness import Randomness
from transferkit._training.network.range_test import RangeTest, try_learning_rates
from transferkit._training.network.rows import make_rows
from transferkit._training.network.schedules import BatchSizes, LearningRates
from transferkit._training.network.steppers import EagerStepper, GraphStepper, LineSearchStepper
from transferkit._training.network.targets import SparseTargets, Targets, accuracy, r2
from transferkit.exceptions import DivergenceError

__all__ = ["Examples", "TrainedNetwork", "TrainingOptions", "train_network"]

EXPLODED = 1e3  # times the loss at the start, or that of zeros: beyond it the last steps threw the weights away
USELESS = 10.0  # times the loss of zeros


@dataclass(frozen=True)
class Examples:
    """Rows and what is to be said of them.

    `X` is an array or a CSR matrix (n_rows, n_features), float32 or float64. `targets` are class numbers (n_rows,) for
    a softmax, else a matrix (n_rows, n_outputs): zeros and ones for independent classes, numbers for a regression. That
    matrix may be sparse; then it becomes dense batch by batch.
    `weights` (n_rows,) are those of the rows.
    """

    X: Any
    targets: Any
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; the estimators' docstrings say what each option does."""

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
    past_losses: Sequence[float] = ()  # of the epochs before this training, on which its schedules go on
    past_steps: int = 0
    tol: float | None = 1e-4
    patience: int = 10
    early_stopping: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    average_from: int | None = None
    pruning: tuple[float, int, int] | None = None
    keep_zeros: bool = False  # weights that are zero at the start stay zero
    seed: int = 0
    device: str = "auto"


@dataclass
class TrainedNetwork:
    """The layers after training, and how it went."""

    layers: list[Any]
    history: History
    range_test: RangeTest | None
    state: list[np.ndarray] | None


@with_own_modes()
def train_network(
    layers: Sequence[Layer],
    examples: Examples,
    options: TrainingOptions,
    *,
    validation: Examples | None = None,
    state: Sequence[np.ndarray] | None = None,
    keep_state: bool = False,
    groups: Sequence[ParameterGroup] | None = None,
    in_place: bool = False,
    on_epoch: Callable[[Callable[[], list[Any]], History], bool] | None = None,
) -> TrainedNetwork:
    """Train the layers on the examples.

    Parameters
    ----------
    layers : sequence of Layer
        The network with its first weights; the first layer is linear where X is sparse. Groups may learn slower, later,
        or close to their first values (see `groups`).
    examples, validation : Examples
        What to learn from, and what is held out; with `options.early_stopping` the weights that are best on it come
        back.
    options : TrainingOptions
    state : sequence of arrays, optional
        What the optimiser of an earlier training of the same layers remembers.
    keep_state : bool, default=False
        Whether to return that.
    groups : sequence of ParameterGroup, optional
        How each layer is trained; by default all alike, without penalties.
    in_place : bool, default=False
        Whether the layers' arrays may be trained where they lie, which saves the memory of a copy.
    on_epoch : callable, optional
        Called after each epoch with a function that returns the layers as they are, and the history; a true answer ends
        the training.

    Raises
    ------
    DivergenceError
        If the loss is no longer finite, or what training ends with is not finite or has a loss that exploded.
    MemoryError
        If the device has too little memory; says how much was asked for.
    """
    device = choose_device(options.device)
    try:
        with torch.no_grad(), one_thread_if_small(device, _count_operations(layers, examples, options)):
            trained, optimiser = _train(
                layers, groups, examples, options, validation, state, on_epoch, device, in_place, keep_state
            )
            trained.state = optimiser.read() if keep_state else None
            return trained
    except torch.OutOfMemoryError as error:
        raise MemoryError(_explain(error, options, examples, device)) from error


def _train(
    layers: Sequence[Layer],
    groups: Sequence[ParameterGroup] | None,
    examples: Examples,
    options: TrainingOptions,
    validation: Examples | None,
    state: Sequence[np.ndarray] | None,
    on_epoch: Callable[[Callable[[], list[Any]], History], bool] | None,
    device: torch.device,
    in_place: bool,
    keep_state: bool,
) -> tuple[TrainedNetwork, Optimiser]:
    task = make_task(layers, examples, options, validation, device, groups, in_place)
    network = task.network
    if options.keep_zeros:
        for buffer in network.buffers:
            buffer.mask = (buffer.weights != 0).to(buffer.weights)
    found = None
    if options.learning_rate_init == "auto" and options.solver != "lbfgs":
        found = try_learning_rates(task, _make_optimiser(network, options), options.batch_size)
    initial = found.chosen if found is not None else options.learning_rate_init
    rates = LearningRates(
        1.0 if isinstance(initial, str) else initial,
        options.learning_rate,
        max_epochs=options.schedule_epochs or options.max_epochs,
        decay=options.learning_rate_decay,
        decay_epochs=options.learning_rate_epochs,
        warmup=options.warmup,
    )
    smallest = 2 if network.batch_norms else 1  # a single row has no variance
    sizes = BatchSizes(options.batch_size, task.n_rows, options.batch_schedule, options.batch_epochs, smallest)
    rates.resume(options.past_losses, options.past_steps)
    sizes.resume(options.past_losses)
    settled = 0 if options.pruning is None else options.pruning[2] - 1  # from this epoch on the zeros stay the same
    stopping = Stopping(options.max_epochs, options.tol, options.patience, options.early_stopping, settled)
    optimiser = _make_optimiser(network, options)
    if state is not None:
        optimiser.restore(state)
    average = (
        None if options.average_from is None else WeightAverage(network.buffers, max(options.average_from, settled))
    )
    pruning = None if options.pruning is None else GradualPruning(network.buffers, *options.pruning)
    history = train(
        task,
        _make_stepper(task, optimiser, options, eager=sp.issparse(examples.X) or _has_module(layers)),
        rates,
        sizes,
        stopping,
        companions=[companion for companion in (pruning, average) if companion is not None],
        first_epoch=len(options.past_losses),
        on_epoch=None if on_epoch is None else lambda history: on_epoch(network.read, history),
    )
    if average is not None:
        _take_average(task, average, options, len(history.loss))
    _check_end(task, history, options, one_of_many=keep_state)
    return TrainedNetwork(network.read(in_place=True), history, found, None), optimiser


def make_task(
    layers: Sequence[Layer],
    examples: Examples,
    options: TrainingOptions,
    validation: Examples | None,
    device: torch.device,
    groups: Sequence[ParameterGroup] | None = None,
    in_place: bool = False,
) -> NetworkTask:
    """Move network and data to the device."""
    sparse = sp.issparse(examples.X)
    randomness = Randomness(options.seed, device, order_on_host=sparse)
    dtype = torch.float32 if examples.X.dtype == np.float32 else torch.float64
    network = Network(
        layers,
        groups or [ParameterGroup()] * len(layers),
        sparse=sparse,
        device=device,
        dtype=dtype,
        generator=randomness.noise,
        in_place=in_place,
    )
    exclusive = examples.targets.ndim == 1
    n_outputs = network.n_outputs
    targets: Targets | SparseTargets
    if sp.issparse(examples.targets):
        targets = SparseTargets(examples.targets, device, dtype)
    else:
        targets = Targets(examples.targets, n_outputs, options.label_smoothing, device, dtype)
    weights = None
    if examples.weights is not None:
        mean_one = examples.weights / examples.weights.mean()
        weights = torch.from_numpy(mean_one).to(device=device, dtype=dtype)
    return NetworkTask(
        network,
        make_rows(examples.X, device),
        targets,
        find_loss(options.loss, exclusive=exclusive, focal_gamma=options.focal_gamma, huber_delta=options.huber_delta),
        weights=weights,
        augmentation=options.augmentation,
        validation=None if validation is None else _hold_out(validation, device, dtype),
        score=r2 if options.loss in REGRESSION_LOSSES else accuracy,
        shuffle=options.solver not in ("gd", "lbfgs"),
        randomness=randomness,
    )


def _hold_out(examples: Examples, device: torch.device, dtype: torch.dtype) -> ValidationSet:
    exclusive = examples.targets.ndim == 1
    targets = torch.from_numpy(as_writable(np.ascontiguousarray(examples.targets)))
    targets = targets.to(device=device, dtype=torch.int64 if exclusive else dtype)
    weights = None if examples.weights is None else torch.from_numpy(examples.weights).to(device=device, dtype=dtype)
    return ValidationSet(make_rows(examples.X, device), targets, weights)


def _make_optimiser(network: Network, options: TrainingOptions) -> Optimiser:
    return Optimiser(
        network.buffers,
        "gd" if options.solver == "lbfgs" else options.solver,
        momentum=options.momentum,
        clip_norm=options.clip_norm,
        clip_value=options.clip_value,
    )


def _make_stepper(task: NetworkTask, optimiser: Optimiser, options: TrainingOptions, eager: bool) -> Stepper:
    if options.solver == "lbfgs":
        return LineSearchStepper(task, optimiser.buffers)
    if optimiser.buffers[0].values.is_cuda and not eager:
        return GraphStepper(task, optimiser, task.randomness.noise)
    return EagerStepper(task, optimiser)


def _check_end(task: NetworkTask, history: History, options: TrainingOptions, one_of_many: bool) -> None:
    """Raise or warn if the weights that training ends with are of no use; no epoch has looked at the last steps.

    Running statistics of batch normalisation that are far behind the weights are computed anew, unless this training is
    one of many, which sees a part of the rows.
    """
    loss, has_statistics = task.measure_end(), bool(task.network.batch_norms)
    if has_statistics and not one_of_many and loss > USELESS * task.measure_zeros():
        task.refresh_statistics(options.batch_size)
        loss = task.measure_end()
    grew = not has_statistics and loss > EXPLODED * history.loss[0]
    exploded = not math.isfinite(loss) or (grew and loss > EXPLODED * task.measure_zeros())
    if exploded or not task.is_finite():
        raise DivergenceError(len(history.loss), history.learning_rate[-1], loss if exploded else math.nan)
    if one_of_many or options.loss not in REGRESSION_LOSSES:
        return  # scores of classes may be far too large and yet in order
    of_zeros = task.measure_zeros()
    if loss > USELESS * of_zeros > 0:
        warnings.warn(
            f"After {len(history.loss)} epochs the mean loss is {loss:.3g}, and {of_zeros:.3g} for a network that "
            "returns zeros: nothing useful was learned. Bring the features to unit scale (StandardScaler), or train "
            "longer.",
            ConvergenceWarning,
            stacklevel=2,
        )


def _take_average(task: NetworkTask, average: WeightAverage, options: TrainingOptions, n_epochs: int) -> None:
    """Put the mean of the weights in their place, unless the validation set knows that the best weights are better."""
    if average.n_epochs == 0:
        warnings.warn(
            f"No weights were averaged: training ended after {n_epochs} epochs, and the average begins after epoch "
            f"{average.first_epoch + 1} of {options.max_epochs} (swa, and the end of prune_schedule if there is one). "
            "Set tol=None, so that training takes all epochs, or a smaller swa.",
            UserWarning,
            stacklevel=2,
        )
        return
    score, before = task.validate(), task.snapshot()
    average.apply()
    task.refresh_statistics(options.batch_size)
    averaged = task.validate()
    if options.early_stopping and score is not None and averaged is not None and averaged < score:
        task.restore(before)


def _count_operations(layers: Sequence[Layer], examples: Examples, options: TrainingOptions) -> float:
    """Return about how many operations a step takes."""
    of_row = count_operations(layers)
    if sp.issparse(examples.X) and isinstance(layers[0], Linear):  # SciPy's product has one thread of its own
        of_row -= 6 * layers[0].weights.size
    return of_row * min(options.batch_size, examples.X.shape[0])


def _has_module(layers: Sequence[Layer]) -> bool:
    return any(isinstance(layer, ModuleLayer) for layer in layers)


def _explain(error: BaseException, options: TrainingOptions, examples: Examples, device: torch.device) -> str:
    n_bytes = examples.X.data.nbytes if sp.issparse(examples.X) else examples.X.nbytes
    smaller = max(1, options.batch_size // 4)
    return (
        f"Training ran out of memory on {device}: the features alone take {n_bytes / 2**20:.1f} MiB there, and torch "
        f"says: {str(error).strip()} Try batch_size={smaller} (it was {options.batch_size}), fewer hidden units, or "
        "device='cpu'."
    )
