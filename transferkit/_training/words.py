"""Word vectors trained with torch on co-occurrence counts.

The vectors of words and of their contexts are trained by AdaGrad on one of two objectives: :class:`GloVe` (weighted
least squares on the logarithms of counts) or :class:`SkipGram` (the expected loss with negative sampling). An epoch
updates all words with the contexts fixed, and then all contexts with the words fixed, each by its full gradient.

:class:`WordPairs` hold the counts on a device as slices of CSR rows, with the two products that gradients consist of:
inner products of the vectors of each counted pair, and sums of vectors over the pairs of each row. With these, the
leading eigenvectors of the PPMI matrix are found on a GPU, too; on the CPU
`transferkit._algorithms.linalg.decompositions` does, without torch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import embedding_bag, softplus

from transferkit._algorithms.linalg.decompositions import BLOCK_SHARE, N_STEPS, fix_signs
from transferkit._training.device import as_writable, choose_device, csr_tensor, with_own_modes
from transferkit.exceptions import DivergenceError

__all__ = [
    "GloVe",
    "SkipGram",
    "WordPairs",
    "leading_eigenvectors_on_device",
    "train_word_vectors",
]

_ENTRIES = {"cpu": 1 << 20, "cuda": 1 << 25}  # per slice, which bounds the memory of temporary arrays
_LONGEST = 4096  # entries summed by one thread block: a GPU would otherwise wait for the row of the most frequent word
_N_SHARED = 1024  # negative contexts shared by a group of words
_GROUP_SIZE = 4096  # words per group


class PairRows(NamedTuple):
    """The pairs of the words from `begin` up to `end`, as CSR rows with int32 indices."""

    begin: int
    end: int
    indptr: Tensor  # (n_rows + 1,)
    columns: Tensor  # (n_pairs,)
    counts: Tensor  # (n_pairs,)
    segments: Tensor  # (n_segments,) first pair of each run of at most _LONGEST pairs of one row
    segments_of_row: Tensor  # (n_rows,) first segment of each row

    @property
    def rows(self) -> Tensor:
        """Row of each pair within the slice, (n_pairs,)."""
        sizes = self.indptr.diff()
        return torch.repeat_interleave(
            torch.arange(len(sizes), device=sizes.device), sizes, output_size=len(self.columns)
        )

    def products(self, rows: Tensor, others: Tensor) -> Tensor:
        """Return the inner product of the two vectors of each pair, (n_pairs,); `rows` are those of this slice."""
        shape = (len(self.indptr) - 1, len(others))
        pattern = csr_tensor(self.indptr, self.columns, torch.zeros_like(self.counts), shape)
        return torch.sparse.sampled_addmm(pattern, rows, others.T, beta=0.0).values()

    def combine(self, coefficients: Tensor, others: Tensor) -> Tensor:
        """Return the sum of coefficient times the other word's vector over the pairs of each row.

        Sums are taken in a fixed order, so they are the same on every run of one device.
        """
        parts = embedding_bag(self.columns, others, self.segments, mode="sum", per_sample_weights=coefficients)
        if len(parts) == len(self.segments_of_row):
            return parts
        return embedding_bag(torch.arange(len(parts), device=parts.device), parts, self.segments_of_row, mode="sum")


class WordPairs:
    """A symmetric matrix of co-occurrence counts, cut into slices of rows of about equal numbers of entries.

    The counts are divided by `unit`.
    """

    def __init__(self, counts: sparse.csr_array, device: torch.device, unit: float = 1.0) -> None:
        n_slices = max(counts.nnz // _ENTRIES[device.type], 1)
        cuts = np.searchsorted(counts.indptr, np.linspace(0, counts.nnz, n_slices + 1)[1:-1])
        bounds = np.unique([0, *cuts.tolist(), counts.shape[0]]).tolist()
        self.slices = [_to_device(counts, begin, end, device, unit) for begin, end in pairwise(bounds)]
        self.totals = torch.from_numpy(np.asarray(counts.sum(axis=1), np.float64).ravel() / unit).to(device)


def _to_device(counts: sparse.csr_array, begin: int, end: int, device: torch.device, unit: float) -> PairRows:
    first, last = int(counts.indptr[begin]), int(counts.indptr[end])
    indptr = (counts.indptr[begin : end + 1] - first).astype(np.int32)
    n_segments = np.maximum(-(-np.diff(indptr) // _LONGEST), 1)
    segment_ends = np.cumsum(n_segments)
    within = np.arange(segment_ends[-1]) - np.repeat(segment_ends - n_segments, n_segments)
    segments = np.repeat(indptr[:-1], n_segments) + _LONGEST * within
    arrays = (
        indptr,
        counts.indices[first:last].astype(np.int32),
        (counts.data[first:last] / unit).astype(np.float32),
        segments.astype(np.int32),
        segment_ends - n_segments,
    )
    return PairRows(begin, end, *(torch.from_numpy(array).to(device) for array in arrays))


class _Matrix(NamedTuple):
    pairs: WordPairs

    def __matmul__(self, right: Tensor) -> Tensor:
        return torch.cat([part.combine(part.counts, right) for part in self.pairs.slices])


@with_own_modes()
def leading_eigenvectors_on_device(
    matrix: sparse.csr_array, n_vectors: int, random_state: np.random.RandomState, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvectors with the eigenvalues of largest magnitude, by block Lanczos.

    Parameters and result are those of :func:`transferkit._algorithms.linalg.decompositions.leading_eigenvectors`, whose
    notes describe the method. The matrix must have more than ``4.2 * n_vectors`` rows.
    """
    operator = _Matrix(WordPairs(matrix, device))
    width = int(np.ceil(BLOCK_SHARE * n_vectors))
    n_rows, size = matrix.shape[0], width * N_STEPS
    start = random_state.standard_normal((n_rows, width)).astype(np.float32)
    basis = torch.empty((size, n_rows), device=device).T  # a block of columns is contiguous
    projected = torch.zeros((size, size), dtype=torch.float64, device=device)
    block = _orthonormal(operator @ torch.from_numpy(start).to(device))
    for step in range(N_STEPS):
        begin, end = step * width, (step + 1) * width
        basis[:, begin:end] = block
        image = operator @ block.contiguous()
        known = basis[:, :end]
        shares = known.T @ image
        projected[:end, begin:end] = shares
        projected[begin:end, :end] = shares.T
        block = _orthonormal(image - known @ shares)
        for _ in range(2):  # rounding errors leave components along the earlier blocks
            block = _orthonormal(block - known @ (known.T @ block))
    values, rotation = torch.linalg.eigh(projected)
    order = values.abs().argsort(descending=True, stable=True)[:n_vectors]
    vectors = basis @ rotation[:, order].float()
    return fix_signs(vectors.cpu().numpy()), values[order].float().cpu().numpy()


def _orthonormal(columns: Tensor) -> Tensor:
    """Return an orthonormal basis of the columns, by the Cholesky factor of their Gram matrix in float64."""
    exact = columns.double()
    gram = exact.T @ exact
    gram.diagonal().add_(1e-14 * gram.diagonal().max())  # for columns that are zero up to rounding
    factor = torch.linalg.cholesky_ex(gram, upper=True)[0]  # without waiting for the device
    return torch.linalg.solve_triangular(factor, exact, upper=True, left=False).float()


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
