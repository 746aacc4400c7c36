"""Write one file of each kind of model in the current format: once a format or class, never to mend a test."""

import json
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

import transferkit as tk
from transferkit.persistence._container import FORMAT

FOLDER = Path(__file__).parent
TEXTS = [
    "a matrix has rows",
    "rows of a matrix",
    "a vector has entries",
    "entries of a vector",
    "naïve Ω",
    "rows, again",
]
LABELS = ["matrix", "matrix", "vector", "vector", "other", "matrix"]
X, Y = np.random.RandomState(0).rand(30, 4).round(3), np.arange(30) % 3


def make_models():
    """Return fitted models by name, each with rows to predict."""
    encoder = make_union(tk.TfidfEncoder(ngram_range=(1, 2)), tk.LSAEncoder(2, min_df=1)).fit(TEXTS)
    numbers = make_pipeline(StandardScaler(), PCA(2), tk.LogisticHead(C=10.0))
    return {
        "text": (tk.TransferClassifier(encoder).fit(TEXTS, LABELS), TEXTS),
        "word-vectors": (tk.WordVectorEncoder(3, min_count=1).fit(TEXTS), TEXTS),
        "numbers": (numbers.fit(X, Y), X.tolist()),
        "ridge": (tk.RidgeHead().fit(X, X[:, :2]), X.tolist()),
    }


def predict(model, rows):
    """Return what the model says to the rows."""
    method = next(name for name in ("predict_proba", "predict", "transform") if hasattr(model, name))
    return np.asarray(getattr(model, method)(rows))


def main():
    """Write the files."""
    for name, (model, rows) in make_models().items():
        tk.save(model, FOLDER / f"format{FORMAT}-{name}.tk")
        answers = {"rows": rows, "output": predict(model, rows).tolist()}
        (FOLDER / f"format{FORMAT}-{name}.json").write_text(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
