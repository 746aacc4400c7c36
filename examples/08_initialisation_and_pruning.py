"""
08 Initialisation and small models
==================================

Initial weights affect the start of training. Afterwards most weights can be pruned, or stored with fewer bits.
"""

import matplotlib.pyplot as plt
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from transferkit import MLPHeadClassifier
from transferkit.compression import prune, quantise

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0, stratify=y)
X_train, X_valid, y_train, y_valid = train_test_split(X_train, y_train, random_state=0, stratify=y_train)
options = {"learning_rate_init": 3e-3, "batch_size": 64, "tol": None, "random_state": 0}

# %%
# Initial weights: "random" ones of scale 0.01 lose the signal over four layers; "orthogonal" and "kaiming" preserve it.
# Arrays or a fitted head may be given instead: the last one reuses hidden layers trained on 0 to 4.
source = MLPHeadClassifier((64, 64, 64), max_iter=30, **options).fit(X_train[y_train < 5], y_train[y_train < 5])
ax = plt.subplots()[1]
for name in ("random", "normal", "xavier", "kaiming", "orthogonal", source):
    head = MLPHeadClassifier((64, 64, 64), weight_init=name, max_iter=15, **options).fit(X_train, y_train)
    name = name if isinstance(name, str) else "a network for 0 to 4"
    print(f"{name:20s} accuracy {head.score(X_test, y_test):.1%}")
    ax.plot(range(1, 16), head.loss_curve_, label=name)
ax.set(yscale="log", xlabel="epoch", ylabel="training loss", title="First weights")
ax.legend()
plt.show()

# %%
# Prune the smallest weights after training and retrain the rest; or prune gradually during training; or store all of
# them with 16 or 8 bits; or set a budget of bytes, and held-out samples select the best method.
head = MLPHeadClassifier(128, max_iter=60, **options).fit(X_train, y_train)
shares = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
found = {"pruned after training": [prune(head, share) for share in shares]}
found["pruned and trained again"] = [prune(head, share, X=X_train, y=y_train) for share in shares]
found["pruned while training"] = [
    prune(clone(head).set_params(prune_schedule={"amount": share, "begin": 5}).fit(X_train, y_train), 0)
    for share in shares
]
found["quantised"] = [quantise(head, dtype) for dtype in ("float16", "int8")]
found["fitted into a budget"] = [prune(head, budget=size, X=X_valid, y=y_valid) for size in ("20 KB", "8 KB", "4 KB")]

ax = plt.subplots()[1]
ax.axhline(100 * head.score(X_test, y_test), color="grey", linestyle=":", label="as trained")
for (name, models), marker in zip(found.items(), "osv^D", strict=True):
    sizes, scores = zip(*((m.compression_["n_bytes"] / 1000, m.score(X_test, y_test)) for m in models), strict=True)
    ax.plot(sizes, [100 * score for score in scores], marker, linestyle="-", label=name)
    print(name, [f"{size:.1f} KB: {score:.1%}" for size, score in zip(sizes, scores, strict=True)])
ax.set(xscale="log", xlabel="KB of weights", ylabel="accuracy, %", title="Size against accuracy")
ax.set_xticks([], minor=True)
ax.set_xticks((4, 8, 16, 32, 64), ("4", "8", "16", "32", "64"))
ax.legend()
plt.show()
