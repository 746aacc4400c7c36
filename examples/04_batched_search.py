"""
04 Tuning a head in one batched fit
===================================

``LogisticHeadCV`` fits all folds and all values of C (inverse regularisation strength) as one problem. Its scores agree
with those of a grid search that fits them one by one, up to the tolerance of the folds' fits.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split

from transferkit import LogisticHead, LogisticHeadCV

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, train_size=200, random_state=0, stratify=y)
LogisticHead().fit(X_train[:100], y_train[:100])  # the first fit imports torch, which should not be timed

# %%
# Ten candidates in five folds: fifty fits, and one on all samples.
Cs = np.logspace(-3, 3, 10)


def timed(search):
    """Return the seconds that a search takes, and the search."""
    began = time.perf_counter()
    search.fit(X_train, y_train)
    return time.perf_counter() - began, search


seconds, batched = timed(LogisticHeadCV(Cs=Cs, cv=5))
rival_seconds, one_by_one = timed(GridSearchCV(LogisticRegression(max_iter=1000, tol=1e-6), {"C": Cs}, cv=5))
print(f"LogisticHeadCV                   {seconds:.2f} s, best C {batched.C_:.3g}")
print(f"GridSearchCV, LogisticRegression {rival_seconds:.2f} s, best C {one_by_one.best_params_['C']:.3g}")
ours, theirs = (search.cv_results_["mean_test_score"] for search in (batched, one_by_one))
print(f"largest difference of mean scores: {100 * np.abs(ours - theirs).max():.2f} percentage points")

# %%
# A few labels cannot determine the best C reliably. ``refit="average"`` averages the candidates instead, weighted by
# their likelihood on held-out samples.
averaged = LogisticHeadCV(Cs=Cs, cv=5, refit="average").fit(X_train, y_train)
print(f"test accuracy: best C {batched.score(X_test, y_test):.1%}, average {averaged.score(X_test, y_test):.1%}")

upper, lower = plt.subplots(2, 1, sharex=True, height_ratios=(2, 1), layout="tight")[1]
upper.plot(Cs, theirs, "s--", color="tab:orange", label="GridSearchCV")
upper.plot(Cs, ours, "o-", color="tab:blue", label="LogisticHeadCV")
upper.set(ylabel="mean accuracy in five folds", title="Digits, 200 labels")
upper.legend()
lower.bar(Cs, averaged.candidate_weights_, width=0.6 * Cs, color="tab:blue")
lower.set(xscale="log", xlabel="C", ylabel="weight in the average")
plt.show()
