"""
10 Word vectors
===============

Train word vectors on your own texts, look at them, keep them in a file, and read those that others made.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from transferkit import WordVectorEncoder, load, save
from transferkit.datasets import load_docstrings

docstrings = load_docstrings(["scipy", "joblib"], remove_examples=True)

# %%
# Train: counts of words that stand near each other, factorised. ``method="glove"`` and ``"sgns"`` train on from there.
# With ``subword=True`` unseen words get a vector from their spelling.
encoder = WordVectorEncoder(100, min_count=3, subword=True).fit(docstrings.data)
print(f"{len(encoder.vocabulary_)} words of {len(docstrings.data)} texts")

# %%
# Query.
for word in ("eigenvalues", "filter", "cache", "gaussian"):
    print(f"{word:12s}", [found for found, _ in encoder.most_similar(word, n=5)])
print("row : rows = column :", encoder.analogy("row", "rows", "column", n=2))
print("rows / columns:", round(float(encoder.similarity("rows", "columns")), 2))
print("not in the texts: 'eigenvaluewise' ~", [word for word, _ in encoder.most_similar("eigenvaluewise", n=3)])

# %%
# Keep and load: the vectors are mapped from the file, so it loads in no time, however large.
folder = Path(tempfile.mkdtemp())
save(encoder, folder / "words.tk")
print(f"{(folder / 'words.tk').stat().st_size / 1e6:.1f} MB;", load(folder / "words.tk").most_similar("sparse", n=2))

# %%
# Vectors of others: text files of word2vec, GloVe and fastText. ``restrict_to`` reads only the words you need.
words = ["matrix", "vector", "sparse", "dense", "filter", "signal", "frequency", "mean", "variance", "distribution"]
words += ["integral", "derivative", "spline", "interpolation", "file", "read", "write", "image", "pixel", "cache"]
rows = {word: encoder.vectors_[row] for word, row in encoder.vocabulary_.items()}
lines = [f"{word} " + " ".join(f"{value:.4f}" for value in row) for word, row in rows.items()]
(folder / "glove.txt").write_text("\n".join(lines), encoding="utf-8")
loaded = WordVectorEncoder.from_file(folder / "glove.txt", restrict_to=words)
print(f"{len(loaded.vocabulary_)} of {len(encoder.vocabulary_)} vectors read")

# %%
# The words on the plane of their two leading directions.
vectors = loaded.vectors_ - loaded.vectors_.mean(axis=0)
points = vectors @ np.linalg.svd(vectors, full_matrices=False)[2][:2].T
fig, ax = plt.subplots(figsize=(8, 6))
ax.scatter(*points.T, s=12)
for word, row in loaded.vocabulary_.items():
    ax.annotate(word, points[row], xytext=(4, 3), textcoords="offset points")
ax.margins(0.12)
ax.set_axis_off()
plt.show()
