"""Word vectors trained on co-occurrence counts: GloVe, and skip-gram with negative sampling."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import softplus

from transferkit._training.device import as_writable, choose_device, with_own_modes
from transferkit._training.words.pairs import PairRows, WordPairs
from transferkit.exceptions import DivergenceError

__all__ = ["GloVe", "SkipGram", "train_word_vectors"]

_N_SHARED = 1024  # negative contexts shared by a group of words
_GROUP_SIZE = 4096  # words per group


@dataclass
class Side:
    """The vectors and biases of all words in one role (word or context), and the sums of their squared gradients."""

    vectors: Tensor  # (n_words, n_components)
    biases: Tensor  # (n_words,)
    squares: Tensor
    bias_squares: Tensor

    @classmethod
    def starting_at(cls, vectors: Tensor, biases: Tensor) -> "Side":
        """Return a side before its first update."""
        return cls(vectors, biases, torch.zeros_like(vectors), torch.zeros_like(biases))


class Objective(Protocol):
    """An objective that gives its gradient for the rows of a slice, with the other side fixed."""

    biases: Tensor  # (n_words,) initial biases of both sides

    def gradient(self, rows: Side, others: Side, part: PairRows) -> tuple[Tensor, Tensor | None, Tensor]: ...


class GloVe:
    """Weighted least squares on the logarithms of counts [1]_, with a penalty on pairs that were not counted.

    The objective is ``sum_ij f(x_ij) (w_i c_j + a_i + b_j - log x_ij) ** 2 + zero_weight sum_ij (w_i c_j) ** 2``, with
    f(x) = min(1, x / x_max) ** exponent. The first sum, over the pairs that were counted, is that of [1]_. The second,
    over all pairs, costs one product with a small matrix. Without it a small corpus is overfitted, because nothing else
    keeps words that never co-occur from getting similar vectors. `totals` are the sums of the counts of each word.

    References
    ----------
    .. [1] J. Pennington, R. Socher, C. Manning (2014). GloVe: global vectors for word representation. EMNLP.
    """

    def __init__(self, totals: Tensor, x_max: float, exponent: float = 0.75, zero_weight: float = 0.1) -> None:
        self.x_max, self.exponent, self.zero_weight = x_max, exponent, zero_weight
        # With these and inner products of zero, the model gives the co-occurrences expected by chance.
        self.biases = (totals.clamp(min=1).log() - totals.sum().clamp(min=1).log() / 2).float()

    def gradient(self, rows: Side, others: Side, part: PairRows) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return half the gradients with respect to the slice's vectors and biases, and the objective of the slice."""
        vectors = rows.vectors[part.begin : part.end]
        row_of_pair = part.rows
        errors = part.products(vectors, others.vectors)
        errors += rows.biases[part.begin : part.end].index_select(0, row_of_pair)
        errors += others.biases.index_select(0, part.columns)
        errors -= part.counts.log()
        weighted = (part.counts / self.x_max).clamp(max=1) ** self.exponent * errors
        pull = self.zero_weight * (vectors @ (others.vectors.T @ others.vectors))
        loss = (weighted * errors).sum(dtype=torch.float64) + (pull * vectors).sum(dtype=torch.float64)
        bias_gradient = part.combine(weighted, torch.ones_like(others.biases)[:, None])[:, 0]
        return pull + part.combine(weighted, others.vectors), bias_gradient, loss


class SkipGram:
    """The expected loss of skip-gram with negative sampling [1]_ over all pairs that were counted.

    The objective is ``-sum_ij x_ij log s(w_i c_j) - n_negative sum_i x_i sum_j q_j log s(-w_i c_j)``, with s the
    logistic function, x_i the sum of the counts of word i (`totals`), and q_j proportional to x_j ** smoothing. The
    first sum is computed in full. The second is estimated from contexts drawn from q and shared by a group of words, so
    that it is a product of dense matrices. With vectors of unlimited dimension the optimum is PMI - log n_negative
    [2]_.

    References
    ----------
    .. [1] T. Mikolov, I. Sutskever, K. Chen, G. Corrado, J. Dean (2013). Distributed representations of words and
       phrases and their compositionality. NeurIPS 26.
    .. [2] O. Levy, Y. Goldberg (2014). Neural word embedding as implicit matrix factorization. NeurIPS 27.
    """

    def __init__(self, totals: Tensor, n_negative: float, smoothing: float, generator: torch.Generator) -> None:
        self.generator = generator
        self.masses = (n_negative * totals).float()
        noise = totals**smoothing
        self.cumulated = (noise / noise.sum()).cumsum(0)  # float64: float32 does not resolve small shares
        self.biases = torch.zeros_like(self.masses)

    def gradient(self, rows: Side, others: Side, part: PairRows) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return the gradient with respect to the slice's vectors, None for biases, and the estimated objective."""
        vectors = rows.vectors[part.begin : part.end]
        scores = part.products(vectors, others.vectors)
        loss = (part.counts * softplus(-scores)).sum(dtype=torch.float64)
        gradient = part.combine(-part.counts * torch.sigmoid(-scores), others.vectors)
        for first in range(part.begin, part.end, _GROUP_SIZE):
            last = min(first + _GROUP_SIZE, part.end)
            drawn = others.vectors.index_select(0, self.draw())  # (_N_SHARED, n_components)
            scores = rows.vectors[first:last] @ drawn.T
            weights = (self.masses[first:last] / _N_SHARED)[:, None]
            loss = loss + (softplus(scores) * weights).sum(dtype=torch.float64)
            gradient[first - part.begin : last - part.begin] += (torch.sigmoid(scores) * weights) @ drawn
        return gradient, None, loss

    def draw(self) -> Tensor:
        """Return words drawn from the smoothed distribution, (_N_SHARED,)."""
        uniform = torch.rand(_N_SHARED, dtype=torch.float64, generator=self.generator, device=self.cumulated.device)
        return torch.searchsorted(self.cumulated, uniform).clamp(max=len(self.cumulated) - 1)


@with_own_modes()
def train_word_vectors(
    counts: sparse.csr_array,
    start: np.ndarray,
    signs: np.ndarray,
    make_objective: Callable[[Tensor, torch.Generator], Objective],
    *,
    unit: float,
    max_iter: int,
    learning_rate: float,
    device: str,
    seed: int,
    on_epoch: Callable[[Callable[[], np.ndarray]], bool],
) -> tuple[np.ndarray, list[float]]:
    """Train the vectors of words in both roles by AdaGrad; return their sum, and the objective in each epoch.

    `counts` are symmetric and divided by `unit`. Words start from `start` (n_words, n_components), contexts from start
    * signs, with signs of 1 or -1, by which they are also added to the words in the end. `make_objective` takes the
    sums of counts per word and a random generator. `on_epoch` is called after each epoch with a function that returns
    the vectors so far; a true result stops the training. A DivergenceError is raised if the objective or a vector is no
    longer finite.

    Given the contexts, words do not depend on each other. An epoch updates all words by their full gradients, and then
    all contexts, so neither slices nor threads change the result. Rows are CSR slices, so that gradients are products
    of sparse and dense matrices rather than scattered additions.
    """
    torch_device = choose_device(device)
    pairs = WordPairs(counts, torch_device, unit)
    generator = torch.Generator(torch_device).manual_seed(seed)
    objective = make_objective(pairs.totals, generator)
    flips = torch.from_numpy(as_writable(signs)).to(torch_device)
    begin = torch.from_numpy(as_writable(start)).to(torch_device, copy=True)
    words = Side.starting_at(begin, objective.biases.clone())
    contexts = Side.starting_at(begin * flips, objective.biases.clone())

    def read() -> np.ndarray:
        return (words.vectors + contexts.vectors * flips).cpu().numpy()

    losses: list[Tensor] = []
    for _ in range(max_iter):
        losses.append(_sweep(objective, words, contexts, pairs, learning_rate))
        _sweep(objective, contexts, words, pairs, learning_rate)
        if on_epoch(read):
            break
    vectors, history = read(), [float(loss) for loss in losses]
    if not (math.isfinite(history[-1]) and np.isfinite(vectors).all()):
        raise DivergenceError(len(history), learning_rate, history[-1], "learning_rate")
    return vectors, history


def _sweep(objective: Objective, rows: Side, others: Side, pairs: WordPairs, learning_rate: float) -> Tensor:
    """Update all rows by one step, and return the objective before it."""
    loss = torch.zeros((), dtype=torch.float64, device=rows.vectors.device)
    for part in pairs.slices:
        gradient, bias_gradient, part_loss = objective.gradient(rows, others, part)
        span = slice(part.begin, part.end)
        _adagrad(rows.vectors[span], rows.squares[span], gradient, learning_rate)
        if bias_gradient is not None:
            _adagrad(rows.biases[span], rows.bias_squares[span], bias_gradient, learning_rate)
        loss += part_loss
    return loss


def _adagrad(values: Tensor, squares: Tensor, gradient: Tensor, learning_rate: float) -> None:
    """Take one step of AdaGrad (Duchi, Hazan and Singer, JMLR 12, 2011) in place."""
    squares.addcmul_(gradient, gradient)
    values.addcdiv_(gradient, squares.sqrt().clamp_(min=1e-10), value=-learning_rate)
