"""
14 What to label next, and what not to answer
=============================================

From no label to a model that says "none of these": texts are suggested in batches, the true labels play the person who
labels them, and a model is fitted after each batch. Beside it the same numbers of labels, drawn at random.
"""

import matplotlib.pyplot as plt
import numpy as np

from transferkit import RiskCoverageDisplay, SelectiveClassifier, TransferClassifier, WordVectorEncoder, suggest_labels
from transferkit.datasets import load_docstrings

docstrings = load_docstrings(["joblib", "sklearn"], remove_examples=True)
encoder = WordVectorEncoder(n_components=100, min_count=3).fit(docstrings.data)
classes = ("cluster", "feature_extraction", "linear_model", "metrics", "preprocessing")
rows = np.flatnonzero(np.isin(docstrings.target, [f"sklearn.{name}" for name in classes]))
rows = np.random.default_rng(0).permutation(rows)
texts, labels = np.array(docstrings.data, dtype=object)[rows], docstrings.target[rows]
test, truth, pool, person = texts[:250], labels[:250], texts[250:], labels[250:]


def fit(chosen):
    """Return a model of the texts that have labels."""
    return TransferClassifier(encoder, strategy="term_vectors", cv=3).fit(pool[chosen], person[chosen])


# %%
# The loop. Without a model, typical texts are suggested; then those of them about which the model is uncertain.
chosen, model, sizes, suggested, drawn = np.array([], dtype=int), None, (10, 20, 40, 80), [], []
for size in sizes:
    left = np.setdiff1d(np.arange(len(pool)), chosen)
    known = pool[chosen] if len(chosen) else None
    found = suggest_labels(pool[left], size - len(chosen), encoder=encoder, model=model, X_labelled=known)
    chosen = np.concatenate([chosen, left[found["index"]]])
    model = fit(chosen)
    suggested.append(model.score(test, truth))
    drawn.append(np.mean([fit(np.arange(start, start + size)).score(test, truth) for start in (0, 80, 160)]))
    print(f"{size} labels: suggested {suggested[-1]:.1%}, random {drawn[-1]:.1%}. First: {found['reason'][0]}")

# %%
# A model that answers only where at most 10 % of its answers should be wrong. The docstrings of joblib belong to no
# class, and none of them has a label.
selective = SelectiveClassifier(model, max_error=0.1, reject_label="none of these").fit(pool[chosen], person[chosen])
others = np.array(docstrings.data, dtype=object)[docstrings.package == "joblib"]
accepted = selective.is_accepted(test)
wrong = 1 - np.mean(model.predict(test[accepted]) == truth[accepted])
print(f"answers {accepted.mean():.0%} of the test texts, {wrong:.1%} of these wrong")
print(f"answers {selective.is_accepted(others).mean():.0%} of the texts that belong to no class")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
axes[0].plot([str(size) for size in sizes], suggested, "o-", label="suggested")
axes[0].plot([str(size) for size in sizes], drawn, "o--", label="random, mean of 3 draws")
axes[0].set(xlabel="labels", ylabel="test accuracy")
axes[0].legend()
RiskCoverageDisplay.from_estimator(model, test, truth, ax=axes[1])
plt.show()
