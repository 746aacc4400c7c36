"""
02 One encoder, many tasks
==========================

Three tasks share one pretrained encoder. All of them are predicted in one pass over the texts and saved with a single
copy of the encoder.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from transferkit import MultiTaskTransfer, TransferClassifier, WordVectorEncoder
from transferkit.datasets import load_docstrings

docstrings = load_docstrings(["scipy", "joblib"], remove_examples=True)
texts = np.array(docstrings.data, dtype=object)
held_out = np.random.default_rng(0).random(len(texts)) < 1 / 3
encoder = WordVectorEncoder(100, min_count=3).fit(texts[~held_out])

# %%
# Each task has its own texts and labels, sixteen per class.
tasks = {
    "package": (docstrings.package, ["joblib", "scipy"]),
    "kind": (docstrings.kind, ["class", "function", "method"]),
    "area": (docstrings.target, ["scipy.io", "scipy.linalg", "scipy.optimize", "scipy.signal"]),
}
rng = np.random.default_rng(1)
few = {
    task: np.concatenate(
        [rng.choice(np.flatnonzero((labels == label) & ~held_out), 16, replace=False) for label in classes]
    )
    for task, (labels, classes) in tasks.items()
}

# %%
model = MultiTaskTransfer(TransferClassifier(encoder, strategy="term_vectors", cv=3))
model.fit({task: texts[rows] for task, rows in few.items()}, {task: tasks[task][0][rows] for task, rows in few.items()})
predictions, accuracies = model.predict(texts[held_out]), {}
for task, (labels, classes) in tasks.items():
    known = np.isin(labels[held_out], classes)
    accuracies[task] = (predictions[task] == labels[held_out])[known].mean()
    print(f"{task:8s} {len(classes)} classes, chance {1 / len(classes):.0%}: {accuracies[task]:.1%} of {known.sum()}")
fig, ax = plt.subplots(figsize=(6, 3), layout="tight")
ax.bar(list(tasks), list(accuracies.values()), color="#0072b2", label="sixteen labels per class")
ax.plot(list(tasks), [1 / len(classes) for _, classes in tasks.values()], "k_", markersize=40, label="chance")
ax.set(ylabel="accuracy on held-out texts", title="Three tasks on one encoder", ylim=(0, 1.2))
ax.legend(loc="upper center", ncols=2)
plt.show()

# %%
# After saving and loading, the tasks still predict together.
with tempfile.TemporaryDirectory() as folder:
    model.save_tasks(folder)
    print({path.name: f"{path.stat().st_size / 1e6:.1f} MB" for path in sorted(Path(folder).iterdir())})
    found = MultiTaskTransfer.load_tasks(folder).predict(["Minimize a scalar function of one or more variables."])
    print({task: str(labels[0]) for task, labels in found.items()})
