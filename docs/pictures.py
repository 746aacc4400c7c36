"""The plots of the page on how it works, each computed with the package itself."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from transferkit import LogisticHead, LogisticHeadCV, TfidfEncoder, TransferClassifier, WordVectorEncoder
from transferkit.datasets import load_docstrings

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"


def draw_all(folder):
    """Draw the plots that are not in the folder yet; `make clean` removes them.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    """
    folder.mkdir(exist_ok=True)
    docstrings = None
    for name, draw in PICTURES.items():
        path = folder / f"{name}.svg"
        if not path.exists():
            docstrings = docstrings or load_docstrings(["scipy"], remove_examples=True)
            figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
            draw(ax, docstrings)
            figure.savefig(path, transparent=False)
            plt.close(figure)


def draw_vocabulary_growth(ax, docstrings):
    """Draw terms against texts: work on the vocabulary costs less than work on the tokens."""
    sizes = np.unique(np.logspace(1.5, np.log10(len(docstrings.data)), 9).astype(int))
    order = np.random.default_rng(0).permutation(len(docstrings.data))
    tokens, terms = [], []
    for size in sizes:
        encoder = TfidfEncoder(use_idf=False, norm=None).fit([docstrings.data[i] for i in order[:size]])
        rows = encoder.transform([docstrings.data[i] for i in order[:size]])
        tokens.append(rows.sum())
        terms.append(rows.shape[1])
    ax.plot(sizes, tokens, "s-", color=ORANGE, label="tokens")
    ax.plot(sizes, terms, "o-", color=BLUE, label="distinct terms")
    ax.set(xscale="log", yscale="log", xlabel="texts", ylabel="number", title="Tokens and terms of SciPy's docstrings")
    ax.legend()
    ax.grid(alpha=0.3)


def draw_steps(ax, docstrings):
    """Draw the objective after so many steps, in whitened coordinates and without them."""
    X, y = load_digits(return_X_y=True)
    X = X[:1000] * np.logspace(-1, 1, X.shape[1])  # features of different scale
    X, onehot = X - X.mean(axis=0), np.eye(10)[y[:1000]]

    def objective(weights):
        weights = weights.reshape(X.shape[1], 10)
        scores = X @ weights
        norms = logsumexp(scores, axis=1, keepdims=True)
        value = norms.sum() - (scores * onehot).sum() + (weights**2).sum() / 2
        return value, (X.T @ (np.exp(scores - norms) - onehot) + weights).ravel()

    def train(steps):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fits are cut short on purpose
            head = LogisticHead(max_iter=steps, tol=1e-9, fit_intercept=False).fit(X, y[:1000])
        return objective(head.coef_.T.ravel())[0]

    start, plain = np.zeros(X.shape[1] * 10), []
    follow = {"maxiter": 100}
    minimize(
        objective, start, jac=True, method="L-BFGS-B", options=follow, callback=lambda w: plain.append(objective(w)[0])
    )
    steps = (1, 2, 3, 5, 8, 12, 20, 30, 50)
    ax.plot(range(1, len(plain) + 1), plain, color=ORANGE, label="L-BFGS")
    ax.plot(steps, [train(n) for n in steps], "o-", color=BLUE, label="L-BFGS on whitened features")
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel="objective")
    ax.set_title("Logistic regression on badly scaled features")
    ax.legend()
    ax.grid(alpha=0.3)


def draw_candidates(ax, docstrings):
    """Draw each candidate's loss on held-out labels, and its weight in the average."""
    texts, labels = np.array(docstrings.data, dtype=object), docstrings.target
    areas = ["scipy.io", "scipy.linalg", "scipy.ndimage", "scipy.optimize", "scipy.signal"]
    rng = np.random.default_rng(1)
    few = np.concatenate([rng.choice(np.flatnonzero(labels == area), 8, replace=False) for area in areas])
    rest = np.setdiff1d(np.arange(len(texts)), few)
    encoder = WordVectorEncoder(100, min_count=3).fit(texts[rest])
    scores = TransferClassifier(encoder, strategy="term_vectors").fit(texts[few], labels[few]).strategy_scores_
    rows = (scores["strategy"] == "term_vectors") & np.isfinite(scores["log_loss"])
    places = {alpha: place for place, alpha in enumerate(sorted(set(scores["alpha"][rows])))}
    x = np.array([places[alpha] for alpha in scores["alpha"][rows]])
    sizes = 15 + 900 * scores["weight"][rows]
    points = ax.scatter(x, scores["log_loss"][rows], s=sizes, c=np.log10(scores["C"][rows]), cmap="viridis", alpha=0.7)
    names = ["labels alone" if a == 0 else "vectors alone" if np.isinf(a) else f"{a:g}" for a in places]
    ax.set_xticks(range(len(places)), names)
    ax.set(xlabel="alpha", ylabel="loss on held-out labels", title="Candidates; the area is the weight in the average")
    ax.figure.colorbar(points, label="log10 C")


def draw_average(ax, docstrings):
    """Draw the test accuracy of picking C by cross-validation and of averaging by likelihood."""
    X, y = load_digits(return_X_y=True)
    sizes, picked, averaged = (30, 50, 100, 200), [], []
    for size in sizes:
        scores = []
        for seed in range(8):
            parts = train_test_split(X / 16, y, train_size=size, random_state=seed, stratify=y)
            options = {"Cs": np.logspace(-3, 3, 7), "cv": 3}
            scores.append(
                [
                    LogisticHeadCV(refit=refit, **options).fit(parts[0], parts[2]).score(parts[1], parts[3])
                    for refit in (True, "average")
                ]
            )
        picked.append(np.mean(scores, axis=0)[0])
        averaged.append(np.mean(scores, axis=0)[1])
    ax.plot(sizes, picked, "s-", color=ORANGE, label="best C picked")
    ax.plot(sizes, averaged, "o-", color=BLUE, label="averaged by likelihood")
    ax.set(xscale="log", xlabel="labels", ylabel="test accuracy", title="Digits, means of eight draws")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    ax.legend()
    ax.grid(alpha=0.3)


PICTURES = {
    "vocabulary-growth": draw_vocabulary_growth,
    "steps": draw_steps,
    "candidates": draw_candidates,
    "average": draw_average,
}
