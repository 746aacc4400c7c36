"""Other ways to classify texts with few labels, whose settings are selected on those labels alone."""

import itertools
import os
import tempfile
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import make_pipeline

PATTERN = r"(?u)\b\w+\b"
CS = (0.1, 1.0, 10.0, 100.0, 1000.0)
N_THREADS = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))
ALPHAS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
find_words = TfidfVectorizer(token_pattern=PATTERN).build_tokenizer()


def train_scikit_learn(column, texts, labels):
    """Return TF-IDF of "words" or "characters" and logistic regression, its C selected by five folds."""
    return make_pipeline(_vectorise(column), _regress()).fit(texts, labels)


def train_naive_bayes(texts, labels):
    """Return TF-IDF of words and ComplementNB, its alpha selected by five folds."""
    model = make_pipeline(_vectorise("words"), ComplementNB())
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return GridSearchCV(model, {"complementnb__alpha": ALPHAS}, cv=folds).fit(texts, labels)


def _vectorise(column):
    settings = {"analyzer": "char_wb", "ngram_range": (2, 5)} if column == "characters" else {}
    return TfidfVectorizer(sublinear_tf=True, **settings)


def _regress():
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    settings = {"max_iter": 1000, "scoring": "accuracy", "use_legacy_attributes": False, "l1_ratios": (0,)}
    return LogisticRegressionCV(Cs=CS, cv=folds, **settings)


class FastText:
    """fastText's classifier that starts from given vectors of words; its settings are selected on the labels.

    Parameters
    ----------
    folder : Path
        Folder for its files.
    vectors : dict of str to ndarray
        Vectors of the words of all labelled texts and of the texts to be predicted; empty to start from nothing.
    """

    CHOICES = tuple(
        {"lr": lr, "epoch": epoch, "wordNgrams": n}
        for lr, epoch, n in itertools.product((0.1, 0.5), (5, 25, 100), (1, 2))
    )

    def __init__(self, folder, vectors):
        self.folder, self.vectors = Path(folder), vectors

    def fit(self, texts, labels):
        """Select the settings and train."""
        self.names = np.unique(labels)
        numbers = np.searchsorted(self.names, labels)
        lines = np.array([f"__label__{n} {clean(x)}" for n, x in zip(numbers, texts, strict=True)], dtype=object)
        folds = StratifiedKFold(3, shuffle=True, random_state=0).split(texts, numbers)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            known = set(itertools.chain(*(line.split() for line in lines)))
            vectors = self._write_vectors(f"{folder}/few.vec", known)
            self.settings = self._compare(folder, lines, numbers, list(folds), vectors)
            vectors = self._write_vectors(f"{folder}/all.vec", self.vectors)
            self.model = _train_fasttext(folder, lines, vectors, self.settings)
        return self

    def predict(self, texts):
        """Return the labels."""
        return self.names[_predict_numbers(self.model, [clean(text) for text in texts])]

    def _compare(self, folder, lines, numbers, folds, vectors):
        scores = []
        for settings in self.CHOICES:
            hits = []
            for train, test in folds[: 1 if len(lines) > 3000 else None]:
                model = _train_fasttext(folder, lines[train], vectors, settings)
                found = _predict_numbers(model, [line.partition(" ")[2] for line in lines[test]])
                hits.append((found == numbers[test]).mean())
            scores.append(np.mean(hits))
        return self.CHOICES[int(np.argmax(scores))]

    def _write_vectors(self, path, words):
        """Write the vectors of the words that have any; return settings that name the file."""
        known = [word for word in words if word in self.vectors]
        if not known:
            return {"dim": 100}
        size = len(self.vectors[known[0]])
        form = " ".join(["%.5g"] * size)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{len(known)} {size}\n")
            file.writelines(f"{word} {form % tuple(self.vectors[word])}\n" for word in known)
        return {"dim": size, "pretrainedVectors": path}


def _train_fasttext(folder, lines, vectors, settings):
    import fasttext

    path = Path(folder) / "train.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"bucket": 200_000, **vectors, **settings}
    return fasttext.train_supervised(str(path), thread=N_THREADS, minCount=1, verbose=0, **settings)


def _predict_numbers(model, texts):
    # the package's own predict fails with NumPy 2; the layer below it does not
    found = [model.f.predict(text + "\n", 1, 0.0, "strict") for text in texts]
    return np.array([int(label[0][1].removeprefix("__label__")) if label else 0 for label in found])


class GensimMean:
    """Mean of the gensim vectors of a text's words, and scikit-learn's logistic regression."""

    def __init__(self, vectors):
        self.vectors = vectors

    def fit(self, texts, labels):
        """Train on mean vectors."""
        self.head = _regress().fit(self._embed(texts), labels)
        return self

    def predict(self, texts):
        """Return the labels."""
        return self.head.predict(self._embed(texts))

    def _embed(self, texts):
        known = [[w for w in find_words(text.lower()) if w in self.vectors] for text in texts]
        zeros = np.zeros(self.vectors.vector_size, np.float32)
        means = np.array([self.vectors[words].mean(0) if words else zeros for words in known])
        return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)


def clean(text):
    """Return the words of a text, separated by spaces."""
    return " ".join(find_words(str(text).lower()))
