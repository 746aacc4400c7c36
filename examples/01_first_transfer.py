"""
01 A first transfer
===================

Pretrain word vectors on unlabelled texts, then learn a task from eight labels per class: which part of SciPy does a
docstring come from? Compare with the same classifier without pretraining.
"""

import matplotlib.pyplot as plt
import numpy as np

from transferkit import LogisticHead, TransferClassifier, TransferCurveDisplay, WordVectorEncoder
from transferkit.datasets import load_docstrings

# %%
# Docstrings of installed packages stand in for *your* texts: any list of strings will do. A third of them is held out
# and never seen by the encoder.
docstrings = load_docstrings(["scipy", "joblib"], remove_examples=True)
areas = ["scipy.integrate", "scipy.io", "scipy.linalg", "scipy.ndimage", "scipy.optimize", "scipy.signal"]
held_out = np.random.default_rng(0).random(len(docstrings.data)) < 1 / 3
texts, labels = np.array(docstrings.data, dtype=object), docstrings.target
encoder = WordVectorEncoder(100, min_count=3).fit(texts[~held_out])  # no labels
print("like 'matrix':", [word for word, _ in encoder.most_similar("matrix", n=5)])

# %%
# Eight labels per class. ``TransferClassifier`` selects the transfer strategy by cross-validation on these labels.
rng = np.random.default_rng(1)
few = np.concatenate([rng.choice(np.flatnonzero((labels == area) & ~held_out), 8, replace=False) for area in areas])
test = held_out & np.isin(labels, areas)

transfer = TransferClassifier(encoder).fit(texts[few], labels[few])
scratch = TransferClassifier(strategy="scratch").fit(texts[few], labels[few])
print(f"{len(few)} labels, {test.sum()} test texts; strategy selected: {transfer.strategy_}")
print(f"with transfer    {transfer.score(texts[test], labels[test]):.1%}")
print(f"without transfer {scratch.score(texts[test], labels[test]):.1%}")

# %%
# Repeat this for several numbers of labels and several samples of them, with the same head and the fastest strategy, so
# that the curves take seconds. Pretraining helps most with the fewest labels. With many labels frozen features no
# longer help, which is why ``strategy="auto"``, above, compares strategies before it selects one.
pool = np.flatnonzero(np.isin(labels, areas) & held_out)
frozen = TransferClassifier(encoder, LogisticHead(C=10.0), strategy="frozen")
display = TransferCurveDisplay.from_estimator(frozen, texts[pool], labels[pool], n_labels=(2, 4, 8, 16), n_draws=3)
display.ax_.set_title("Which part of SciPy is it?")
plt.show()
print("gain (percentage points):", np.round(100 * display.gain(), 1))
