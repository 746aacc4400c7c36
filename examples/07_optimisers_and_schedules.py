"""
07 Optimisers, learning rates and batch sizes
=============================================

One network and one task, changing one setting at a time: how fast does the loss fall, and what is the test accuracy?
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from transferkit import MLPHeadClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0, stratify=y)


def compare(settings, **common):
    """Return a fitted head for each setting, and print its accuracy."""
    heads = {}
    for name, setting in settings.items():
        setting = {"max_iter": 30, "batch_size": 64, "tol": None, "random_state": 0} | common | setting
        head = heads[name] = MLPHeadClassifier(64, **setting).fit(X_train, y_train)
        print(f"{name:18s} loss {head.loss_:.4f}  accuracy {head.score(X_test, y_test):.1%}")
    return heads


def draw(heads, title, quantity):
    """Draw the loss of each epoch, and beside it what was changed over the epochs."""
    left, right = plt.subplots(1, 2, figsize=(9, 4), layout="tight")[1]
    for name, head in heads.items():
        left.plot(head.history_["loss"], label=name)
        right.step(range(head.n_iter_), head.history_[quantity], where="post")
    left.set(yscale="log", xlabel="epoch", ylabel="training loss", title=title)
    right.set(xlabel="epoch", ylabel=quantity.replace("_", " "))
    left.legend()
    plt.show()


# %%
# Optimisers, each at a suitable learning rate: larger for plain gradient descent, smaller for adaptive methods.
rates = {"sgd": 0.1, "momentum": 0.02, "nesterov": 0.02, "adagrad": 0.02, "rmsprop": 0.002, "adam": 0.004}
settings = {name: {"solver": name, "learning_rate_init": rate} for name, rate in rates.items()}
draw(compare(settings, early_stopping=True), "Optimisers", "validation_score")

# %%
# Learning rate schedules, all starting from a rate slightly too high for a constant schedule.
schedules = ["constant", "step", "inverse", "cosine", "one_cycle"]
schedules = {name: {"learning_rate": name} for name in schedules} | {"constant, warm-up": {"warmup": 5}}
heads = compare(schedules, solver="adam", learning_rate_init=0.02)
draw(heads, "Schedules of the learning rate", "learning_rate")

# %%
# Batch size schedules: larger batches reduce gradient noise in the last epochs, like smaller learning rates.
batches = {f"constant {n}": {"batch_size": n} for n in (16, 256)}
batches |= {"grow from 16": {"batch_size": 16, "batch_schedule": "grow", "batch_epochs": 6}}
batches |= {"decay from 256": {"batch_size": 256, "batch_schedule": "decay", "batch_epochs": 6}}
heads = compare(batches, solver="adam", learning_rate_init=0.005)
draw(heads, "Schedules of the batch size", "batch_size")
