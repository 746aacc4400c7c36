"""
11 Choosing among pretrained encoders
=====================================

Which of several pretrained encoders suits a task? ``rank_encoders`` scores them on the task's labels without training
a model. Here its ranking is compared with the ground truth: the test accuracy after training on each.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from transferkit import LSAEncoder, TransferClassifier, WordVectorEncoder, rank_encoders
from transferkit.datasets import load_docstrings

docstrings = load_docstrings(["scipy", "joblib"], remove_examples=True)
texts, package = np.array(docstrings.data, dtype=object), docstrings.package
areas = ["scipy.integrate", "scipy.io", "scipy.linalg", "scipy.optimize", "scipy.signal", "scipy.sparse"]
kept = np.isin(docstrings.target, areas)
few, test, y_few, y_test = train_test_split(
    texts[kept], docstrings.target[kept], train_size=200, random_state=0, stratify=docstrings.target[kept]
)

# %%
# The candidates: fitted on other texts (joblib's) or on these, with few or many components.
candidates = {
    "words of joblib, 100": WordVectorEncoder(100, min_count=2).fit(texts[package == "joblib"]),
    "LSA of joblib, 100": LSAEncoder(100).fit(texts[package == "joblib"]),
    "words of SciPy, 8": WordVectorEncoder(8, min_count=3).fit(texts[package == "scipy"]),
    "words of SciPy, 100": WordVectorEncoder(100, min_count=3).fit(texts[package == "scipy"]),
    "LSA of SciPy, 8": LSAEncoder(8).fit(texts[package == "scipy"]),
    "LSA of SciPy, 100": LSAEncoder(100).fit(texts[package == "scipy"]),
}

# %%
# The ground truth: train on each and test.
truth = {
    name: TransferClassifier(encoder, strategy="frozen").fit(few, y_few).score(test, y_test)
    for name, encoder in candidates.items()
}
fig, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True, layout="tight")
for metric, ax in zip(("logme", "knn", "cv"), axes, strict=True):
    ranking = rank_encoders(candidates, few, y_few, metric=metric)
    seconds = ranking["score_seconds"].sum()
    print(f"{metric}: {seconds:.2f} s")
    for name, score in zip(ranking["encoder"], ranking["score"], strict=True):
        print(f"  {name:22s} {score:8.3f}   test accuracy {truth[name]:.1%}")
    for name, score in zip(ranking["encoder"], ranking["score"], strict=True):
        ax.plot(score, truth[name], "o" if "SciPy" in name else "s", label=name)
    ax.set(title=metric, xlabel="score of the metric")
    lost = max(truth.values()) - truth[str(ranking["encoder"][0])]
    print(f"  its first choice loses {100 * lost:.1f} percentage points to the best\n")
axes[0].set_ylabel("test accuracy after training")
axes[2].legend(fontsize="x-small")
plt.show()
