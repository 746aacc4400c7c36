"""
09 Clusters, a map and an autoencoder
=====================================

Three encoders are fitted on unlabelled digits: what do they learn, and how useful are their features with five labels
per class?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split
from sklearn.preprocessing import FunctionTransformer

from transferkit import AutoencoderEncoder, KMeansEncoder, LogisticHeadCV, SOMEncoder

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

clusters = KMeansEncoder(n_clusters=40).fit(X_train)
patches = KMeansEncoder(64, activation="soft", patches=(3, 1), image_shape=(8, 8), whiten=True).fit(X_train)
som = SOMEncoder((10, 10), output="soft").fit(X_train)
autoencoder = AutoencoderEncoder((128,), n_components=16, max_iter=40).fit(X_train)


# %%
# Cluster centres, digits reconstructed by the autoencoder from 16 numbers, and the map: the colour is the distance
# between neighbouring units, the number the digit most often mapped to a unit.
def tile(images, n_columns):
    """Return images side by side as one picture."""
    rows = [np.hstack([np.pad(image.reshape(8, 8), 1) for image in row]) for row in images.reshape(-1, n_columns, 64)]
    return np.vstack(rows)


rebuilt = autoencoder.inverse_transform(autoencoder.transform(X_test[:20]))
pairs = np.concatenate([X_test[:10], rebuilt[:10], X_test[10:20], rebuilt[10:]])
fig, axes = plt.subplots(1, 2, figsize=(9, 4), layout="tight")
axes[0].imshow(tile(clusters.cluster_centers_, 8), cmap="gray_r")
axes[1].imshow(tile(pairs, 10), cmap="gray_r", vmin=0, vmax=1)
axes[0].set(title="40 clusters", xticks=[], yticks=[])
axes[1].set(title="digits, and below them as they are rebuilt", xticks=[], yticks=[])
plt.show()

# %%
fig, ax = plt.subplots(figsize=(7, 6))
som.plot_map(X_test, y_test, ax=ax)
ax.set_title("Self-organising map")
plt.show()

# %%
# Logistic regression on the features of each, averaged over three samples of five labels per class.
draws = [few for few, _ in StratifiedShuffleSplit(3, train_size=50, random_state=0).split(X_train, y_train)]
encoders = {"pixels": FunctionTransformer(), "clusters": clusters, "patches": patches}
encoders |= {"map": som, "autoencoder": autoencoder}
for name, encoder in encoders.items():
    rows, test_rows = encoder.transform(X_train), encoder.transform(X_test)
    scores = [LogisticHeadCV().fit(rows[few], y_train[few]).score(test_rows, y_test) for few in draws]
    print(f"{name:20s} {rows.shape[1]:4d} features  {np.mean(scores):.1%}")
