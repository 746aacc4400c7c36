"""
06 Continue a model on a new task
=================================

A saved TF-IDF and logistic regression model, trained on many labels, is the source of a task with few: the new weights
are regularised towards those of the source, matched by word and by class (L2-SP), instead of towards zero.

The texts are docstrings, the classes packages, and source and target come from different parts of each package. With 20
Newsgroups the classes are the first parts of the groups' names: ``TRANSFERKIT_20NEWSGROUPS=FOLDER python
examples/06_continue_a_model.py`` reads them from scikit-learn's data home.
"""

import os
import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import fetch_20newsgroups
from sklearn.pipeline import make_pipeline

from transferkit import LogisticHead, TfidfEncoder, TransferClassifier, save
from transferkit.datasets import load_docstrings

if folder := os.environ.get("TRANSFERKIT_20NEWSGROUPS"):
    bunch = fetch_20newsgroups(data_home=folder, remove=("headers", "footers", "quotes"), download_if_missing=False)
    texts, groups = np.array(bunch.data, dtype=object), np.array(bunch.target_names)[bunch.target]
    kept = np.isin([group.split(".")[0] for group in groups], ["comp", "rec", "sci", "talk"])
    texts, groups = texts[kept], groups[kept]
else:
    docstrings = load_docstrings(["numpy", "scipy", "sklearn"], remove_examples=True)
    texts, groups = np.array(docstrings.data, dtype=object), docstrings.target
topics = np.array([group.split(".")[0] for group in groups])  # the labels
in_source = np.isin(groups, np.unique(groups)[::2])  # every other group
rng, curves = np.random.default_rng(0), {}
in_test = ~in_source & (rng.random(len(texts)) < 0.5)

# %%
# The source model is trained once, on all labels of its groups, and saved.
source = make_pipeline(TfidfEncoder(sublinear_tf=True), LogisticHead(C=10.0)).fit(texts[in_source], topics[in_source])
path = os.path.join(tempfile.mkdtemp(), "source.tk")
save(source, path)
print(f"source: {in_source.sum()} labels of {len(np.unique(groups[in_source]))} groups")
print(f"source without further training, on the other groups: {source.score(texts[in_test], topics[in_test]):.1%}\n")

# %%
# The target task has few labels, from the groups that the source has not seen.
print("labels per class  scratch  continued")
for n_labels in (4, 16, 64):
    pools = [np.flatnonzero((topics == topic) & ~in_source & ~in_test) for topic in np.unique(topics)]
    few = np.concatenate([rng.choice(pool, n_labels, replace=False) for pool in pools])
    scratch, continued = TransferClassifier(strategy="scratch"), TransferClassifier(source=path)
    models = [model.fit(texts[few], topics[few]) for model in (scratch, continued)]
    scores = [model.score(texts[in_test], topics[in_test]) for model in models]
    curves[str(n_labels)] = scores
    print(f"{n_labels:16d}  {scores[0]:7.1%}  {scores[1]:9.1%}  ({continued.strategy_})")
plt.plot(list(curves), list(curves.values()), "o-", label=["scratch", "continued from the source"])
plt.gca().set(xlabel="labels per class", ylabel="test accuracy")
plt.legend()
plt.show()
