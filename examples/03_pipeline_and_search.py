"""
03 Pipeline and GridSearchCV
============================

Everything is a scikit-learn estimator. A pretrained encoder survives ``clone``, so it works in a Pipeline inside a
grid search, and each text is encoded once, however many folds and candidates there are.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline

from transferkit import LogisticHead, LSAEncoder, PretrainedEncoder, TfidfEncoder
from transferkit.datasets import load_docstrings

docstrings = load_docstrings(["sklearn", "joblib"], remove_examples=True)
names, counts = np.unique(docstrings.target, return_counts=True)
kept = np.isin(docstrings.target, names[counts >= 100])
texts, labels = np.array(docstrings.data, dtype=object)[kept], docstrings.target[kept]
train, test, y_train, y_test = train_test_split(texts, labels, train_size=400, random_state=0, stratify=labels)

# %%
# Two encoders are fitted once on all texts, without labels.
encoders = {n: PretrainedEncoder(LSAEncoder(n).fit(docstrings.data)) for n in (50, 200)}

# %%
# The search compares encoders, heads of this package and of scikit-learn, and their parameters.
model = make_pipeline(encoders[50], LogisticHead())
grid = [
    {"pretrainedencoder": list(encoders.values()), "logistichead__C": [1.0, 10.0, 100.0]},
    {"pretrainedencoder": [encoders[200]], "logistichead": [RandomForestClassifier(100, random_state=0)]},
    {"pretrainedencoder": [TfidfEncoder(sublinear_tf=True)], "logistichead__C": [10.0]},  # no transfer; fitted in folds
]
began = time.perf_counter()
search = GridSearchCV(model, grid, cv=3).fit(train, y_train)
print(f"{3 * len(search.cv_results_['params']) + 1} fits in {time.perf_counter() - began:.1f} s")

# %%
results, bars = search.cv_results_, {}
for i in np.argsort(-results["mean_test_score"]):
    encoder = results["param_pretrainedencoder"][i]
    size = encoder.source.n_components if isinstance(encoder, PretrainedEncoder) else "-"
    head = results["params"][i].get("logistichead", f"C={results['params'][i].get('logistichead__C')}")
    name, head = type(encoder).__name__, head if isinstance(head, str) else type(head).__name__
    bars[f"{name} {size}, {head}"] = results["mean_test_score"][i]
    print(f"{bars[f'{name} {size}, {head}']:.1%}  {name:18s} components {size!s:4s} {head}")

fig, ax = plt.subplots(figsize=(8, 3), layout="tight")
ax.barh(list(bars), list(bars.values()), color="#0072b2")
ax.set(xlabel="mean accuracy in three folds", title="Candidates of the search")
plt.show()
print(f"best on {len(y_test)} test texts: {search.score(test, y_test):.1%}")
