"""How heads are trained while strategies are compared."""

from typing import NamedTuple

import numpy as np

from transferkit.heads import LogisticHead, LogisticHeadCV
from transferkit.heads.linear._logistic_cv import read_candidates

CS = (0.1, 1.0, 10.0, 100.0, 1000.0)
SHARPNESS = 0.25  # of the average; 1/4, 1/2 and 1 were tried on development sets, and differed by tenths of a point
LEAST_WEIGHT = 1e-3  # in the average, as a share of the largest
LOOSE_TOL = 1e-3  # of the default head where many candidates are averaged, or start from a source
FEW_LABELS_C = 10.0  # with labels too few to choose, or the nearest of the head's candidates


class LogisticSettings(NamedTuple):
    """Candidates for C, and what they have in common."""

    Cs: tuple
    class_weight: dict | str | None
    fit_intercept: bool
    tol: float
    max_iter: int
    device: str

    def middle_C(self):
        """Return the candidate to take where labels are too few to choose."""
        return min(self.Cs, key=lambda C: abs(np.log(C / FEW_LABELS_C)))

    def parameters(self, C):
        """Return the parameters of a head with that C."""
        return {"C": float(C), **{name: value for name, value in self._asdict().items() if name != "Cs"}}


_OF_OTHERS = {"cv": "cv", "scoring": "scoring", "refit": None, "store_oof": None, "block_scales": None}


def check_head_of_candidates(head, estimator):
    """Raise ValueError where a head that stands for candidates asks for what the comparison of them does not do.

    Parameters
    ----------
    head : classifier or None
        As given.
    estimator : estimator
        Whose head it is.
    """
    if head is None or read_settings(head, "cpu") is None:
        return
    defaults = type(head)().get_params()
    for name, instead in _OF_OTHERS.items():
        if name in defaults and getattr(head, name) is not defaults[name] and getattr(head, name) != defaults[name]:
            kind = type(estimator).__name__
            advice = f"Set {instead!r} of {kind}" if instead else "Leave it out"
            raise ValueError(
                f"The {name!r} parameter of the head is not used, because {kind} compares values of C itself, together "
                f"with strategies. {advice}, or choose strategy='frozen' or 'scratch', which train the head as it is."
            )


def read_settings(head, device):
    """Return the settings that a head stands for, or None where it is no logistic regression without a prior.

    Parameters
    ----------
    head : classifier or None
        None stands for candidates from weak to strong; a `LogisticHead` for its own C; a `LogisticHeadCV` for its `Cs`.
    device : str
        Where to train, where the head does not say.
    """
    if head is None:
        return LogisticSettings(CS, None, True, 1e-4, 1000, device)
    if type(head) not in (LogisticHead, LogisticHeadCV) or head.prior is not None:
        return None
    head._validate_params()  # nobody fits the head itself
    Cs = (head.C,) if type(head) is LogisticHead else tuple(np.sort(read_candidates(head.Cs)).tolist())
    return LogisticSettings(Cs, head.class_weight, head.fit_intercept, head.tol, head.max_iter, head.device)
