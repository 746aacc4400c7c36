"""
10 Word vectors
===============

Train word vectors on your own texts, query them, save them to a file, and load pretrained ones.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from transferkit import WordVectorEncoder, load, save
from transferkit.datasets import load_docstrings

docstrings = load_docstrings(["scipy", "joblib"], remove_examples=True)

# %%
# Train: factorise co-occurrence counts. ``method="glove"`` and ``"sgns"`` continue training from there.
# With ``subword=True`` unseen words get a vector from their character n-grams.
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
# Save and load: the vectors are memory-mapped, so loading is instant, whatever the size.
folder = Path(tempfile.mkdtemp())
save(encoder, folder / "words.tk")
print(f"{(folder / 'words.tk').stat().st_size / 1e6:.1f} MB;", load(folder / "words.tk").most_similar("sparse", n=2))

# %%
# Pretrained vectors: text files of word2vec, GloVe and fastText. ``restrict_to`` reads only the words you need.
words = ["matrix", "vector", "sparse", "dense", "filter", "signal", "frequency", "mean", "variance", "distribution"]
words += ["integral", "derivative", "spline", "interpolation", "file", "read", "write", "image", "pixel", "cache"]
rows = {word: encoder.vectors_[row] for word, row in encoder.vocabulary_.items()}
lines = [f"{word} " + " ".join(f"{value:.4f}" for value in row) for word, row in rows.items()]
(folder / "glove.txt").write_text("\n".join(lines), encoding="utf-8")
loaded = WordVectorEncoder.from_file(folder / "glove.txt", restrict_to=words)
print(f"{len(loaded.vocabulary_)} of {len(encoder.vocabulary_)} vectors read")

# %%
# Cosine similarities of these words: related words are dark.
names = list(loaded.vocabulary_)
vectors = loaded.vectors_ / np.linalg.norm(loaded.vectors_, axis=1, keepdims=True)
order = [names.index(word) for word in words]
fig, ax = plt.subplots(figsize=(7, 6), layout="tight")
image = ax.imshow((vectors @ vectors.T)[np.ix_(order, order)], cmap="Blues", vmin=0, vmax=1)
ax.set_xticks(range(len(words)), words, rotation=90)
ax.set_yticks(range(len(words)), words)
fig.colorbar(image, label="cosine")
plt.show()
