"""A linear student of a text encoder: one vector per word, fitted to the encoder's embeddings of unlabelled texts."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from heapq import nsmallest
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from transferkit._algorithms.text.vocabulary import TermStatistics, find_terms, to_vocabulary
from transferkit._algorithms.words.distillation import cosines_of_rows, fit_term_vectors, sum_batches
from transferkit._estimator import FitProgress
from transferkit._validation import Interval, is_fitted, with_plain_outputs
from transferkit.encoders.text._counting import threaded_map
from transferkit.encoders.text._tfidf import TfidfEncoder
from transferkit.exceptions import count_inner_frames

__all__ = ["DISTILLATION_CONSTRAINTS", "Student", "append_scaled", "check_teacher", "fit_student", "join_words"]

FEWEST_TEXTS = 20  # distinct ones
MOST_HELD_OUT = 1000
MAX_STEPS = 500

DISTILLATION_CONSTRAINTS: dict = {
    "ridge": [Interval(Real, 0, None, closed="neither")],
    "encode_words": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 0.5, closed="right")],
    "tol": [Interval(Real, 0, 1, closed="neither")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
}


class Student(NamedTuple):
    """Term vectors fitted to embeddings, how close they come, and the progress of the fit."""

    vectors: np.ndarray  # (n_words, n_components), float32
    fidelity: float
    n_held_out: int
    progress: FitProgress


def check_teacher(teacher: Any) -> None:
    """Raise TypeError or NotFittedError unless the teacher is a fitted transformer."""
    name = type(teacher).__name__
    if not hasattr(teacher, "transform") or isinstance(teacher, type):
        hint = " Wrap it: SentenceEncoder(model)." if hasattr(teacher, "encode") else ""
        raise TypeError(f"The 'encoder' of distil must be a fitted transformer of texts. Got {teacher!r}.{hint}")
    if hasattr(teacher, "fit") and not is_fitted(teacher):
        raise NotFittedError(f"The 'encoder' of distil must be fitted. Got an unfitted {name}: call its fit first.")


def join_words(
    statistics: TermStatistics, chosen: np.ndarray, beside: TfidfEncoder | None
) -> tuple[TermStatistics, np.ndarray]:
    """Return the words of another encoder and further words of texts, counted in the texts, and their columns.

    `statistics` are those of all words of the texts, `chosen` the places of the words to keep, most frequent first. The
    words of the other encoder keep their columns; the chosen words that it does not have follow in their order.
    """
    terms = statistics.terms
    if beside is None:
        known, columns = terms.select(chosen[:0]), np.zeros(0, np.int32)
    else:
        known, columns = beside.terms_.kept
    new = chosen[find_terms(known.hashes, known.checks, terms.hashes[chosen], terms.checks[chosen]) < 0]
    joined = to_vocabulary([known, terms.select(np.sort(new))])
    all_columns = np.empty(len(joined.hashes), np.int32)
    all_columns[find_terms(joined.hashes, joined.checks, known.hashes, known.checks)] = columns
    places = find_terms(joined.hashes, joined.checks, terms.hashes[new], terms.checks[new])
    all_columns[places] = len(columns) + np.arange(len(new))
    in_texts = find_terms(terms.hashes, terms.checks, joined.hashes, joined.checks)
    counts = {
        name: np.where(in_texts >= 0, getattr(terms, name)[in_texts], 0) for name in ("document_frequency", "total")
    }
    return TermStatistics(joined._replace(**counts), statistics.n_documents, statistics.error), all_columns


def append_scaled(known: np.ndarray, student: np.ndarray) -> np.ndarray:
    """Return vectors of the first words side by side with those of a student, scaled to the same mean square.

    The mean square is that of the words that have both vectors.
    """
    of_known = student[: len(known)]
    shared = known.any(axis=1) & of_known.any(axis=1)
    scale = np.linalg.norm(known[shared]) / np.linalg.norm(of_known[shared]) if shared.any() else 1.0
    scale *= np.sqrt(student.shape[1] / known.shape[1])
    both = np.zeros((len(student), known.shape[1] + student.shape[1]), np.float32)
    both[: len(known), : known.shape[1]] = known
    both[:, known.shape[1] :] = student * np.float32(scale)
    return both


def fit_student(
    teacher: Any,
    texts: list[str],
    words: TfidfEncoder,
    *,
    ridge: float,
    encode_words: bool,
    validation_fraction: float,
    tol: float,
    batch_size: int,
    begin: Callable[[int], FitProgress],
) -> Student:
    """Return vectors of words such that sums weighted by TF-IDF approximate the teacher's embeddings of texts.

    `words` is an encoder that counts words, fitted to the texts. `begin(n_batches)` returns the progress of the fit.
    """
    statistics, columns = words.terms_.statistics(), words.terms_.columns
    occurs = statistics.terms.document_frequency > 0
    of_words = np.sort(columns[occurs])  # the other words keep vectors of zeros
    occurring = statistics._replace(terms=statistics.terms.select(np.flatnonzero(occurs)))
    weighting = clone(words).set_params(use_idf=True, sublinear_tf=True, norm="l2")
    weighting.set_terms(occurring, np.searchsorted(of_words, columns[occurs]).astype(np.int32))
    held_out = _choose_held_out(texts, validation_fraction)
    is_held_out = set(held_out)
    groups = [[text for text in texts if text not in is_held_out]]
    if encode_words:
        groups.append(weighting.get_feature_names_out().tolist())
    progress = begin(sum(-(-len(group) // batch_size) for group in groups))
    sums = []
    for group in groups:
        batches = _encode_batches(teacher, weighting, group, batch_size, len(sums[0].mean) if sums else None)
        sums.append(sum_batches(_until_stopped(batches, progress)))
    mean = sums[0].mean
    if not sums[0].spread > np.finfo(np.float32).eps * np.linalg.norm(mean):
        raise ValueError(f"{type(teacher).__name__} returns the same embedding for all texts: nothing can be learned.")
    fitted, is_converged = fit_term_vectors(sums, ridge, tol, MAX_STEPS, threaded_map(words.n_jobs))
    if not is_converged:
        warnings.warn(
            f"The regression of distil did not reach tol={tol} in {MAX_STEPS} steps. Increase tol or ridge.",
            ConvergenceWarning,
            stacklevel=count_inner_frames(),
        )
    cosines = [
        cosines_of_rows(rows @ fitted, embeddings - mean)
        for rows, embeddings in _encode_batches(teacher, weighting, held_out, batch_size, len(mean))
    ]
    vectors = np.zeros((len(columns), fitted.shape[1]), np.float32)
    vectors[of_words] = fitted
    return Student(vectors, float(np.concatenate(cosines).mean()), len(held_out), progress)


def _choose_held_out(texts: list[str], fraction: float) -> list[str]:
    """Return distinct texts to hold out: those with the smallest digests, whatever the order and number of copies."""
    digests = {text: blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in set(texts)}
    if len(digests) < FEWEST_TEXTS:
        raise ValueError(f"distil needs at least {FEWEST_TEXTS} different texts. Got {len(digests)}.")
    n_held_out = min(max(1, round(fraction * len(digests))), MOST_HELD_OUT)
    return nsmallest(n_held_out, digests, key=digests.__getitem__)


def _until_stopped(batches: Iterable, progress: FitProgress) -> Iterator:
    """Yield batches until a callback requests to stop; at least the first one."""
    for batch in batches:
        yield batch
        if progress.step():
            return


def _encode_batches(
    teacher: Any, weighting: TfidfEncoder, texts: list[str], batch_size: int, width: int | None
) -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
    """Yield the TF-IDF rows and the embeddings of texts, batch by batch; None is a width that is not yet known."""
    for begin in range(0, len(texts), batch_size):
        batch = texts[begin : begin + batch_size]
        embeddings = _embed(teacher, batch)
        if width not in (None, embeddings.shape[1]):
            raise ValueError(
                f"{type(teacher).__name__} returned embeddings of length {width}, then of {embeddings.shape[1]}."
            )
        width = embeddings.shape[1]
        yield weighting.encode(batch)[0], embeddings


@with_plain_outputs
def _embed(teacher: Any, texts: list[str]) -> np.ndarray:
    """Return the teacher's embeddings of texts as finite float32 numbers."""
    found, name = teacher.transform(texts), type(teacher).__name__
    if sparse.issparse(found):
        raise ValueError(
            f"{name} returns sparse features, from which distil cannot learn: it needs dense embeddings, such as those "
            "of an LSAEncoder or of a Pipeline that ends in a TruncatedSVD."
        )
    found = np.asarray(found)
    if found.ndim != 2 or len(found) != len(texts) or found.shape[1] == 0 or found.dtype.kind not in "fiub":
        raise ValueError(
            f"The 'encoder' of distil must return one row of numbers per text. {name} returned an array of shape "
            f"{found.shape} and type {found.dtype} for {len(texts)} texts."
        )
    with np.errstate(over="ignore"):  # infinity is reported below
        embeddings = found.astype(np.float32)
    is_finite = np.isfinite(embeddings).all(axis=1)
    if not is_finite.all():
        raise ValueError(
            f"{name} returned embeddings with NaN or infinity for {np.sum(~is_finite)} of {len(texts)} texts, such as "
            f"{texts[int(np.argmin(is_finite))][:60]!r}."
        )
    return embeddings
