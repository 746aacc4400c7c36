"""
12 Explaining a prediction
==========================

The transfer model is linear in the words of a text, so a prediction can be decomposed exactly: the contribution of each
word, and how much of it comes from the labels and how much from pretraining.
"""

import matplotlib.pyplot as plt
import numpy as np

from transferkit import TfidfEncoder, TransferClassifier, WordVectorEncoder, explain, top_terms
from transferkit.datasets import load_docstrings

docstrings = load_docstrings(["scipy", "joblib"], remove_examples=True)
texts, labels = np.array(docstrings.data, dtype=object), docstrings.target
areas = ["scipy.io", "scipy.linalg", "scipy.optimize", "scipy.signal"]
rng = np.random.default_rng(0)
few = np.concatenate([rng.choice(np.flatnonzero(labels == area), 12, replace=False) for area in areas])
encoder = WordVectorEncoder(100, min_count=3).fit(texts)
model = TransferClassifier(encoder, strategy="term_vectors", cv=3).fit(texts[few], labels[few])

# %%
# The words of largest weight for each class.
for label, terms in top_terms(model, n=6).items():
    print(f"{label:15s}", [term for term, _ in terms])

# %%
# One text. A notebook (and this page) colours its words: blue supports the class, orange opposes it.
explanation = explain(model, "Compute the Cholesky factor of a banded matrix, given its upper or lower diagonals.")
explanation

# %%
# The contributions and the intercept add up to the decision value, up to rounding.
decision = model.decision_function([explanation.text])[0]
print("predicted:", model.predict([explanation.text])[0])
print("largest difference between the sums and the decision values:", np.abs(explanation.decision - decision).max())

# %%
# Words that occur in no labelled text contribute through their pretrained vectors.
column = int(np.argmax(decision))
order = np.argsort(-np.abs(explanation.contributions[:, column]))[:10][::-1]
fig, ax = plt.subplots(figsize=(8, 5))
left = np.zeros(len(order))
for part, name, colour in (
    (explanation.from_labels, "from the labels", "tab:grey"),
    (explanation.from_pretraining, "through pretrained vectors", "tab:blue"),
):
    ax.barh(range(len(order)), part[order, column], left=left, label=name, color=colour)
    left = left + part[order, column]
ax.set_yticks(range(len(order)), explanation.terms[order])
ax.set(xlabel=f"added to the decision value of {explanation.labels[column]}")
ax.legend(loc="lower right")
ax.figure.tight_layout()
plt.show()
seen = set(TfidfEncoder().fit(texts[few]).get_feature_names_out())
print("words of the text in no labelled text:", sorted(set(explanation.terms) - seen))
