"""Compare pretraining on feature vectors with rivals (k-means, maps, autoencoders), and measure its gain on images.

Run ``python benchmarks/bench_unsupervised.py [--cases CASE ...] [--device cuda] [--output FILE]``.

kmeans and kmeans-one-thread: 256 centres of 100,000 patches, 9 x 9 in three colours, of scikit-learn's two photographs,
float32, each less its mean; KMeansEncoder against scikit-learn's KMeans and MiniBatchKMeans (batches of 4,096), and
KMeans of scikit-learn-intelex (if it is installed), each with five seeds in turn, with time and sum of squared
distances. som: batch SOMEncoder against MiniSom (if it is installed) on the digits;
MiniSom's radius ends at one, so SOMEncoder is also timed with that, and with as few epochs as keep its quantisation
error below MiniSom's. digits: accuracy of LogisticHeadCV with few labels per class on raw pixels and on encoders that
were fitted to the other images without labels; five draws of labels, the same for all. Activation and pooling of the
codebook were compared on labels of the training part (other draws, its own test rows); nothing was chosen on test
labels. autoencoder: the same network, batches and epochs
in skorch (if it is installed).
"""

import argparse
import json
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from data import draw_per_class
from results import RESULTS, describe_machine, read_results, write_results
from rivals import is_installed
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.datasets import load_digits, load_sample_images
from sklearn.decomposition import PCA
from sklearn.feature_extraction.image import extract_patches_2d
from threadpoolctl import threadpool_limits
from timing import time_alternating, timed

from transferkit import AutoencoderEncoder, KMeansEncoder, LogisticHeadCV, SOMEncoder

PER_CLASS, DRAWS, N_TEST = (5, 10, 50), 5, 600
CLUSTERINGS = 5  # with different seeds


def load_patches():
    """Return 100,000 x 243 patches of two photographs."""
    patches = [
        extract_patches_2d(image, (9, 9), max_patches=50_000, random_state=0).reshape(50_000, -1)
        for image in load_sample_images().images
    ]
    X = np.concatenate(patches).astype(np.float32) / 255
    return X - X.mean(axis=1, keepdims=True)


def measure_kmeans(device, n_threads):
    X = load_patches()
    makers = {
        "KMeansEncoder": lambda seed: KMeansEncoder(256, device=device, random_state=seed),
        "MiniBatchKMeans(4096)": lambda seed: MiniBatchKMeans(256, batch_size=4096, n_init=1, random_state=seed),
        "KMeans": lambda seed: KMeans(256, n_init=1, random_state=seed),
        "KMeans(init='random')": lambda seed: KMeans(256, init="random", n_init=1, random_state=seed),
    }
    if is_installed("sklearnex"):
        from sklearnex.cluster import KMeans as Intelex

        makers["KMeans of scikit-learn-intelex"] = lambda seed: Intelex(256, n_init=1, random_state=seed)
    for make in makers.values():  # the first use of torch, of a device and of oneDAL loads them
        make(0).set_params(n_clusters=4).fit(X[:2000])
    with limit_threads(n_threads):
        return {"shape": [*X.shape, 256], **measure_clusters(X, makers)}


def measure_clusters(X, makers):
    runs = {name: [] for name in makers}
    for seed in range(CLUSTERINGS):
        for name, make in makers.items():
            fitted, seconds = timed(lambda make=make, seed=seed: make(seed).fit(X))
            runs[name].append((seconds, float(fitted.inertia_)))
    medians = {name: np.median(values, axis=0).tolist() for name, values in runs.items()}
    result = {name: dict(zip(("seconds", "inertia"), values, strict=True)) for name, values in medians.items()}
    ours = result["KMeansEncoder"]
    for name in list(makers)[1:]:
        result[name]["times_slower"] = result[name]["seconds"] / ours["seconds"]
        result[name]["its_inertia_over_ours"] = result[name]["inertia"] / ours["inertia"]
    return {"runs": CLUSTERINGS, **result}


@contextmanager
def limit_threads(n_threads):
    """Run a block with so many threads of BLAS and OpenMP, of torch and, if it is installed, of oneDAL."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    if is_installed("daal4py"):
        from daal4py import daalinit

        daalinit(n_threads)
    with threadpool_limits(n_threads):
        yield
    torch.set_num_threads(before)


def measure_som():
    X = load_digits().data.astype(np.float32) / 16
    result = {}
    settings = {
        "SOMEncoder": {},
        "SOMEncoder, final_radius=1": {"final_radius": 1.0},
        "SOMEncoder, final_radius=1, 8 epochs": {"final_radius": 1.0, "n_epochs": 8},
    }
    makers = {
        name: lambda options=options: SOMEncoder((12, 12), **options).fit(X) for name, options in settings.items()
    }
    seconds, encoders = time_alternating(makers, 3)
    for name, encoder in encoders.items():
        result[name] = {"seconds": seconds[name], "quantisation_error": encoder.quantisation_error_}
    if not is_installed("minisom"):
        return result
    from minisom import MiniSom

    for n_epochs in (5, 20, 50):
        rival = MiniSom(12, 12, X.shape[1], sigma=3.0, learning_rate=0.5, random_seed=0)
        rival.pca_weights_init(X)
        _, seconds = timed(lambda rival=rival, n=n_epochs: rival.train(X, n, use_epochs=True))
        error = float(rival.quantization_error(X))
        result[f"MiniSom, {n_epochs} epochs"] = {"seconds": seconds, "quantisation_error": error}
    return result


def standardise(features, train):
    features = features.toarray() if hasattr(features, "toarray") else features
    return (features - features[train].mean(axis=0)) / features[train].std()


def measure_images(X, y, shape, per_class):
    order = np.random.RandomState(0).permutation(len(X))
    test, train = order[:N_TEST], order[N_TEST:]
    encoders = {
        "raw pixels": None,
        "PCA(32)": PCA(32),
        "k-means triangle": KMeansEncoder(256),
        "patch codebook 3 x 3, triangle": KMeansEncoder(256, patches=(3, 1), image_shape=shape, whiten=True),
        "patch codebook 3 x 3, soft": KMeansEncoder(
            256, activation="soft", patches=(3, 1), image_shape=shape, whiten=True
        ),
        "SOM 12 x 12, soft": SOMEncoder((12, 12), output="soft"),
        "autoencoder": AutoencoderEncoder((128,), 32),
        "autoencoder with convolutions": AutoencoderEncoder((), 32, image_shape=shape),
    }
    accuracy = {}
    for name, encoder in encoders.items():
        features = X if encoder is None else encoder.fit(X[train]).transform(X)
        features = standardise(features, train)
        accuracy[name] = {}
        for size in per_class:
            found = []
            for draw in range(DRAWS):
                chosen = train[draw_per_class(y[train], size, np.random.RandomState(draw))]
                head = LogisticHeadCV(cv=5).fit(features[chosen], y[chosen])
                found.append(100 * head.score(features[test], y[test]))
            accuracy[name][f"{size} labels a class"] = round(float(np.mean(found)), 2)
    return accuracy


def measure_autoencoder(device):
    X = load_digits().data.astype(np.float32) / 16
    options = {"hidden_layer_sizes": (256,), "n_components": 32, "noise": None, "batch_size": 128, "max_iter": 50}
    AutoencoderEncoder(**{**options, "max_iter": 1}, device=device).fit(X)
    makers = {"AutoencoderEncoder": lambda: AutoencoderEncoder(**options, device=device).fit(X)}

    def fit_rival():
        from skorch import NeuralNetRegressor
        from skorch.callbacks import LRScheduler

        torch.manual_seed(0)
        layers = [torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 32), torch.nn.Linear(32, 256)]
        network = torch.nn.Sequential(*layers, torch.nn.ReLU(), torch.nn.Linear(256, 64))
        schedule = LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=50)
        rival = NeuralNetRegressor(
            network, optimizer=torch.optim.Adam, lr=2e-3, batch_size=128, max_epochs=50, train_split=None, verbose=0,
            iterator_train__shuffle=True, callbacks=[schedule],
            device=("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device,
        )  # fmt: skip
        return rival.fit(X, X)

    if is_installed("skorch"):
        makers["skorch"] = fit_rival
    seconds, models = time_alternating(makers, 3)
    restored = {
        name: model.predict(X) if name == "skorch" else model.inverse_transform(model.transform(X))
        for name, model in models.items()
    }
    return {
        name: {"seconds": seconds[name], "mean_squared_error": float(np.square(rows - X).mean())}
        for name, rows in restored.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    names = ["kmeans", "kmeans-one-thread", "som", "digits", "autoencoder"]
    parser.add_argument("--cases", nargs="+", choices=names, default=names)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, default=RESULTS / "bench_unsupervised.json")
    options = parser.parse_args()
    results = read_results(options.output)
    results["machine"] = describe_machine(options.device)
    digits = load_digits()
    cases = {
        "kmeans": lambda: measure_kmeans(options.device, os.cpu_count()),
        "kmeans-one-thread": lambda: measure_kmeans(options.device, 1),
        "som": measure_som,
        "digits": lambda: measure_images(digits.data.astype(np.float32) / 16, digits.target, (8, 8), PER_CLASS),
        "autoencoder": lambda: measure_autoencoder(options.device),
    }
    for name in options.cases:
        results[name] = cases[name]()
        write_results(options.output, results)
        print(json.dumps({name: results[name]}, indent=1), flush=True)


if __name__ == "__main__":
    main()
