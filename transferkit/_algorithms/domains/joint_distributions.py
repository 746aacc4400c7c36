"""Joint distribution adaptation: a projection in which the domains, and each class of theirs, have close means."""

import numpy as np
from scipy import linalg

from transferkit._algorithms.linalg.decompositions import fix_signs

__all__ = ["JointProjection", "weighted_discrepancies"]


class JointProjection:
    """The projection of centred rows that belongs to labels of the source rows and estimated ones of the target rows.

    Parameters
    ----------
    source, target : ndarray of shape (n_rows, n_features)
        Rows of each domain, whose common mean is zero.
    codes : ndarray of int of shape (n_source_rows,)
        Classes of the source rows.
    n_components : int
        Number of directions.
    penalty : float
        Penalty of the directions, relative to the mean square of the rows.
    balance : float
        Weight of the classes, from 0 to 1.
    """

    def __init__(
        self,
        source: np.ndarray,
        target: np.ndarray,
        codes: np.ndarray,
        *,
        n_components: int,
        penalty: float,
        balance: float,
    ) -> None:
        self.source, self.target, self.codes = source, target, codes
        self.n_components, self.balance = n_components, balance
        self.scatter = np.asarray(source.T @ source, np.float64) + target.T @ target
        self.penalty = penalty * np.trace(self.scatter) / (len(source) + len(target))

    def fit(self, pseudo_codes: np.ndarray) -> np.ndarray:
        """Return the directions (n_features, n_components), scaled so that projected rows have the mean square of rows.

        They are the columns of V that maximise the trace of V' S V subject to V' (D D' + penalty I) V = I, with the
        scatter S and the weighted discrepancies D: generalised eigenvectors of the largest eigenvalues.
        """
        discrepancies = weighted_discrepancies(self.source, self.target, self.codes, pseudo_codes, self.balance)
        constraint = discrepancies @ discrepancies.T
        constraint.flat[:: len(constraint) + 1] += self.penalty
        largest = [len(constraint) - self.n_components, len(constraint) - 1]
        scatters, directions = linalg.eigh(self.scatter, constraint, subset_by_index=largest)
        return fix_signs(directions[:, ::-1]) * np.sqrt(np.trace(self.scatter) / scatters.sum())


def weighted_discrepancies(
    source: np.ndarray, target: np.ndarray, codes: np.ndarray, pseudo_codes: np.ndarray, balance: float
) -> np.ndarray:
    """Return differences of means between the domains, (n_features, 1 + number of classes that both have).

    The squares of their lengths add up to the balanced maximum mean discrepancy of a linear kernel [1]_: 1 - balance
    times that of all rows, plus balance times the sum of those of the classes. As in [2]_, it is divided by the
    Frobenius norm of its matrix of weights of pairs of rows, which follows from the numbers of rows.

    References
    ----------
    .. [1] J. Wang, Y. Chen, S. Hao, W. Feng, Z. Shen, "Balanced distribution adaptation for transfer learning", ICDM
       (2017).
    .. [2] M. Long, J. Wang, G. Ding, J. Sun, P. S. Yu, "Transfer feature learning with joint distribution adaptation",
       ICCV (2013).
    """
    shared = np.intersect1d(codes, pseudo_codes)
    counts, means = [], []
    for rows, labels in ((source, codes), (target, pseudo_codes)):
        members = np.vstack([np.ones(len(rows), bool), labels == shared[:, None]])  # all rows, and those of each class
        counts.append(members.sum(1))
        means.append((members.astype(rows.dtype) @ rows).astype(np.float64) / counts[-1][:, None])
    weights = np.append(1 - balance, np.full(len(shared), balance))
    squares = weights * (1 / counts[0] + 1 / counts[1])
    cross = 2 * len(shared) * balance * (1 - balance) * (1 / len(source) + 1 / len(target)) ** 2
    norm = np.sqrt(np.square(squares).sum() + cross)
    return np.asarray(((means[0] - means[1]) * np.sqrt(weights / norm)[:, None]).T)
