"""
05 A network that someone else trained
======================================

Load a pretrained torch network, replace its output layer and train the new one, then fine-tune the whole network.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.ndimage import rotate
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from transferkit import MLPHeadClassifier, MLPHeadRegressor, TorchEncoder, TransferClassifier

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)

# %%
# The network was trained by someone else on the digits 0 to 4 only. A real one would be loaded with
# ``network.load_state_dict(torch.load(path, weights_only=True))``.
torch.manual_seed(0)
layers = [torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 32, 3), torch.nn.ReLU()]
network = torch.nn.Sequential(*layers, torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(288, 5))
theirs, their_labels = torch.tensor(X[y < 5]).view(-1, 1, 8, 8), torch.tensor(y[y < 5])
optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
for batch in torch.randperm(len(theirs)).repeat(10).split(64):
    optimiser.zero_grad()
    torch.nn.functional.cross_entropy(network(theirs[batch]), their_labels[batch]).backward()
    optimiser.step()

# %%
# Our task: the digits 5 to 9, ten labels each. Layer "5" precedes the output layer; the baseline has raw pixels.
encoder = TorchEncoder(network, output="5", input_shape=(1, 8, 8)).fit()
few, test, y_few, y_test = train_test_split(X[y >= 5], y[y >= 5], train_size=50, random_state=0, stratify=y[y >= 5])
head = MLPHeadClassifier((), solver="adam", learning_rate_init=3e-3, max_iter=300, random_state=0)
frozen = TransferClassifier(encoder, head, strategy="frozen").fit(few, y_few)
tuned = TransferClassifier(encoder, strategy="finetune").fit(few, y_few)
models = {"output layer on pixels": head.fit(few, y_few), "on the network": frozen, "then all layers": tuned}
scores = {name: model.score(test, y_test) for name, model in models.items()}
fig, ax = plt.subplots(figsize=(7, 2), layout="tight")
bars = ax.barh(list(scores), list(scores.values()), color=["#d55e00", "#0072b2", "#0072b2"])
ax.bar_label(bars, fmt="{:.1%}", label_type="center", color="white")
ax.set(xlabel="test accuracy, ten labels per class", xlim=(0, 1))
plt.show()

# %%
# Regression: by how many degrees was an image rotated? The network was not trained for this: compare with pixels.
degrees = np.random.default_rng(0).uniform(-30, 30, 900)
turned = np.stack([rotate(x.reshape(8, 8), d, reshape=False).ravel() for x, d in zip(X[:900], degrees, strict=True)])
head = MLPHeadRegressor((), loss="squared_error", solver="sgd", learning_rate_init=3e-3, max_iter=200, random_state=0)
for n_rows in (50, 500):
    rows, test_rows, target, truth = train_test_split(turned, degrees / 30, train_size=n_rows, random_state=0)
    models = make_pipeline(encoder, StandardScaler(), head), make_pipeline(StandardScaler(), head)
    errors = [30 * np.abs(model.fit(rows, target).predict(test_rows) - truth).mean() for model in models]
    print(f"{n_rows:4d} rows: mean error on the network {errors[0]:.1f} degrees, on pixels {errors[1]:.1f}")
