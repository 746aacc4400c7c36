"""Thousands of broken model files, which the fuzz test and benchmarks/bench_fuzz.py read."""

import copy
import functools
import json
import resource
import signal
import sys
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import NMF, PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import transferkit
from transferkit import (
    LogisticHead,
    LSAEncoder,
    PretrainedEncoder,
    TfidfEncoder,
    TorchEncoder,
    TransferClassifier,
    WordVectorEncoder,
)
from transferkit.exceptions import ModelFileError
from transferkit.persistence import _container, _pack
from transferkit.persistence._allowed import ALLOWED
from transferkit.persistence._container import compute_hexdigests, find_hexdigests

TEXTS = ["a matrix has rows", "rows of a matrix", "a vector has entries", "entries of a vector", "naïve Ω"] * 4
LABELS = ["matrix", "matrix", "vector", "vector", "other"] * 4
X, Y = np.random.RandomState(0).rand(40, 4), np.arange(40) % 3
# Bounds for one file of less than 4 MB: time, generous for a busy machine, and memory beyond what the process has.
SECONDS, MEGABYTES = 5, 300

_LARGE, _STREAM = 400 << 20, 4_000_000  # bytes of zeros in compressed arrays
_PLACEHOLDER = "where the large value goes"
_CLASSES = [f"{module}.{name}" for module, names in ALLOWED.items() for name in names]
_KEYS = ["transform", "evil", "_repr_html_", "classes_", "n_features_in_", "estimator", "array", "tuple"]
_ODD = [
    None, True, -1, 0, 1, 3, 2**31, 2**63, -(2**63), 10**30, 1e308, 0.5, "", "../../../etc/passwd", "/dev/zero",
    "x" * 500, "a.pkl", "l2", "0", "99", [], {}, [[]],
    {"array": "0"}, {"array": "1"}, {"transposed": "0"}, {"estimator": 0},
    {"estimator": -1}, {"estimator": 10**9}, {"tuple": []}, {"dict": []}, {"dict": [[1, 2]]}, {"set": [1]},
    {"deflated": ["uint8", [10**12], "0"]}, {"deflated": ["int64", [2], "1"]}, {"deflated": ["uint8", [-1], "0"]},
    {"float": "nan"}, {"float": "1e999"}, {"number": ["int64", "99999999999999999999"]}, {"number": ["float32", "nan"]},
    {"dtype": ["float64", True]}, {"dtype": ["object", False]}, {"strings": ["U", [10**9], "0", "1"]},
    {"strings": ["O", [1], "0", "0"]}, {"items": [[10**12], []]}, {"items": [[2], [1, 2]]},
    {"sparse": ["csr", "matrix", [3, 10**12], {"array": "0"}, {"array": "0"}, {"array": "0"}]}, {"slice": [0, 1, 0]},
    {"unpack": 1}, {"estimator": 0, "array": "0"},
]  # fmt: skip


class Case(NamedTuple):
    """A valid file, and the output of its model for some samples."""

    name: str
    content: bytes
    rows: object
    output: np.ndarray


def make_corpus(folder):
    """Return valid files of many kinds, a few kB each."""
    lsa = LSAEncoder(3).fit(TEXTS)
    columns = ColumnTransformer([("a", StandardScaler(), [0, 1]), ("b", OneHotEncoder(min_frequency=3), [2])])
    union = make_union(TfidfEncoder(), PretrainedEncoder(lsa))
    codes = np.column_stack([X[:, :2], np.arange(40) % 7 // 2])
    layers = [torch.nn.Unflatten(1, (1, 2, 2)), torch.nn.Conv2d(1, 2, 2, padding=1), torch.nn.BatchNorm2d(2)]
    models = {
        "tfidf": (TfidfEncoder(ngram_range=(1, 2)).fit(TEXTS), TEXTS),
        "counts": (make_pipeline(TfidfEncoder(use_idf=False, norm=None), LogisticHead()).fit(TEXTS, LABELS), TEXTS),
        "word vectors": (WordVectorEncoder(3, min_count=1).fit(TEXTS), TEXTS),
        "transfer": (TransferClassifier(lsa).fit(TEXTS, LABELS), TEXTS),
        "union": (make_pipeline(union, LogisticHead()).fit(TEXTS, LABELS), TEXTS),
        "numbers": (make_pipeline(StandardScaler(), PCA(2), LogisticRegression()).fit(X, Y), X),
        "k-means": (KMeans(3, n_init=1, random_state=0).fit(X), X),
        "calibrated": (CalibratedClassifierCV(LogisticHead(), method="isotonic").fit(X, Y), X),
        "columns": (make_pipeline(columns, LogisticHead()).fit(codes, Y), codes),
        "network": (TorchEncoder(torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(18, 2))).fit(X), X),
        "nmf": (NMF(2, init="nndsvda", max_iter=500).fit(X), X),
    }  # fmt: skip
    models["compressed"] = models["tfidf"]
    corpus, smallest = [], _pack._SMALLEST_DEFLATED
    try:
        _pack._SMALLEST_DEFLATED = 1  # these arrays are tiny
        for name, (model, rows) in models.items():
            path = folder / f"{name}.tk"
            transferkit.save(model, path, compress=name == "compressed")
            corpus.append(Case(name, path.read_bytes(), rows, _answer(model, rows)))
    finally:
        _pack._SMALLEST_DEFLATED = smallest
    return corpus


def mutate(content, random):
    """Return a broken copy of a valid file, and whether its digest was computed again."""
    kind = random.randint(10)
    if kind == 0:
        return _change_bytes(content, random, len(content)), False
    if kind == 1:
        return _change_bytes(content, random, _split(content)[1]), False
    if kind == 2:
        return _cut(content, random), False
    header, start = _split(content)
    data = bytearray(content[start:])
    if kind == 3:
        _change_table(header, random)
    elif kind == 4:
        _change_numbers(header, data, random)
    elif kind in (5, 6):
        _change_sizes(header, data, random)
    else:
        metadata = json.loads(header["__metadata__"]["transferkit"])
        for _ in range(random.randint(1, 4)):
            _change_tree(metadata, random)
        header["__metadata__"]["transferkit"] = json.dumps(metadata)
    return _join(header, bytes(data)), True


def limit_memory():
    """Limit the memory of this process to little more than now; allocations below an earlier peak would be missed."""
    if sys.platform.startswith("linux"):
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (MEGABYTES << 20), resource.getrlimit(resource.RLIMIT_AS)[1]))


def read_many(folder, n_cases, seed=0):
    """Read valid files and many broken ones; return how many of these were loaded and refused, and the failures."""
    signal.signal(signal.SIGPROF, raise_timeout)
    corpus, random = make_corpus(folder), np.random.RandomState(seed)
    counts, failures = {"loaded": 0, "refused": 0}, []
    for case in corpus:  # also imports all modules that a model needs
        outcome = read_broken_file(folder / "valid.tk", case, case.content, False, "full")
        failures += [] if outcome == "loaded" else [f"the valid file {case.name} is {outcome}"]
    _make_sizes()
    limit_memory()
    for number in range(n_cases):
        case = corpus[number % len(corpus)]
        content, has_new_digest = mutate(case.content, random)
        try:
            verify = ("probe", "full", None)[random.randint(3)]
            counts[read_broken_file(folder / "broken.tk", case, content, has_new_digest, verify)] += 1
        except BaseException as error:
            failures.append(f"case {number} ({case.name}): {error!r}")
    return {**counts, "failures": failures}


def read_broken_file(path, case, content, has_new_digest, verify):
    """Load a broken file and use the model; raise AssertionError unless it is an equal model or a ModelFileError.

    A file whose digest was computed again may hold another model: then using it may fail, but not crash.
    """
    path.write_bytes(content)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # processor time of this process, whatever the load of the machine
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                model = transferkit.load(path, verify=verify)
                outcome, cause = "loaded", None
            except ModelFileError as error:
                outcome, model, cause = "refused", None, error.__cause__
            assert not isinstance(cause, MemoryError), "sizes were not checked before allocation"
            if model is not None:
                _use(model, case, must_be_equal=verify == "full" and not has_new_digest)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return outcome


def _use(model, case, must_be_equal):
    try:
        with joblib.parallel_config("sequential"):
            output = _answer(model, case.rows)
    except Exception:
        assert not must_be_equal
    else:
        assert not must_be_equal or np.array_equal(output, case.output)


def _answer(model, rows):
    method = next(name for name in ("predict_proba", "transform", "predict") if hasattr(model, name))
    output = getattr(model, method)(rows)
    return output.toarray() if hasattr(output, "toarray") else output


def _split(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), 8 + length


def _join(header, data):
    """Write a file again, with the digest that belongs to it."""
    hexdigests = {"digest": "d" * 64, "signature": "0" * 64}
    header["__metadata__"].update(hexdigests)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    content = bytearray(len(text).to_bytes(8, "little") + text + data)
    places = find_hexdigests(bytes(content[: 8 + len(text)]), hexdigests)
    digest = compute_hexdigests(_Bytes(content), places)["digest"].encode()
    content[places["digest"] : places["digest"] + 64] = digest
    return bytes(content)


class _Bytes:
    """The part of a file that compute_hexdigests uses."""

    def __init__(self, content):
        self._content, self._place = bytes(content), 0

    def seek(self, place):
        self._place = place

    def read(self, size):
        self._place += size
        return self._content[self._place - size : self._place]


def _change_bytes(content, random, end):
    changed = bytearray(content)
    for position in random.randint(0, end, size=random.randint(1, 5)):
        changed[position] = changed[position] ^ (1 << random.randint(8)) if random.rand() < 0.5 else random.randint(256)
    return bytes(changed)


def _cut(content, random):
    a, b = sorted(random.randint(0, len(content) + 1, size=2))
    return [content[:a], content[a:], content[:a] + content[b:], content[:b] + content[a:]][random.randint(4)]


def _change_table(header, random):
    names = [name for name in header if name != "__metadata__"]
    entry = header[names[random.randint(len(names))]]
    key = ["dtype", "shape", "data_offsets"][random.randint(3)]
    choice = random.randint(4)
    if choice == 0:
        entry[key] = copy.deepcopy(_ODD[random.randint(len(_ODD))])
    elif choice == 1 and key != "dtype" and entry[key]:
        entry[key][random.randint(len(entry[key]))] = [-1, 0, 1, 2**31, 2**63, 10**12, 10**30][random.randint(7)]
    elif choice == 2:
        entry["dtype"] = sorted(_container._DTYPES)[random.randint(len(_container._DTYPES))]
    else:
        other = header[names[random.randint(len(names))]]
        entry.update(copy.deepcopy(other))


def _change_numbers(header, data, random):
    """Put extreme numbers into an array, which compiled code may read before the model checks them."""
    names = [name for name in header if name != "__metadata__"]
    entry = header[names[random.randint(len(names))]]
    begin, end = entry["data_offsets"]
    array = np.frombuffer(bytes(data[begin:end]), _container._DTYPES[entry["dtype"]]).copy()
    if not len(array):
        return
    if array.dtype.kind == "f":
        odd = [np.nan, np.inf, -np.inf, 1e30, 0, -1]
    elif array.dtype.kind == "b":
        odd = [False, True]
    else:
        bounds = np.iinfo(array.dtype)
        odd = [bounds.min, bounds.max, 0, 1, bounds.max // 2, len(array)]
    places = random.randint(0, len(array), size=random.randint(1, 4))
    with np.errstate(all="ignore"):  # numbers that overflow in half precision
        array[places] = np.array(odd)[random.randint(0, len(odd), size=len(places))].astype(array.dtype)
    data[begin:end] = array.tobytes()


@functools.cache
def _make_sizes():
    """Return arrays that become large if they are read wrongly: streams of zeros, long text, ends of its strings."""
    packer, megabyte = zlib.compressobj(1), bytes(1 << 20)
    stream = b"".join([*(packer.compress(megabyte) for _ in range(_LARGE >> 20)), packer.flush()])
    n = 20_000
    return {
        "large": np.frombuffer(stream, np.uint8),
        "stream": np.frombuffer(zlib.compress(bytes(_STREAM)), np.uint8),
        "text": np.full(3 * n, ord("a"), np.uint8),
        "back and forth": np.tile(np.array([3 * n, 0]), n // 2),
        "back": np.arange(n)[::-1] * 3,
        "beyond": np.full(n, 1 << 40),
        "below": np.tile(np.array([-1, 3 * n]), n // 2),
        "last": np.repeat([0, 3 * n], [n - 1, 1]),
        "part": np.zeros(50_000),
        "pointers": np.zeros(2, np.int32),
    }


def _change_sizes(header, data, random):
    """Put values in a random place that are small in the file and would be large in memory, or deep, or many."""
    arrays = _make_sizes()
    kinds = [_deflated, _strings, _items, _sparse, _many, _nested, _wide]
    value = kinds[random.randint(len(kinds))](random)
    node = value if isinstance(value, str) else json.dumps(value)
    for name in [name for name in arrays if f'"{name}"' in node]:
        data += bytes(-len(data) % 8)
        dtype = next(key for key, value in _container._DTYPES.items() if arrays[name].dtype == value)
        place = [len(data), len(data) + arrays[name].nbytes]
        header[name] = {"dtype": dtype, "shape": list(arrays[name].shape), "data_offsets": place}
        data += arrays[name].tobytes()
    metadata = json.loads(header["__metadata__"]["transferkit"])
    places = [place for entry in metadata["estimators"] for place in _places(entry["state"])] or list(_places(metadata))
    container, key = places[random.randint(len(places))]
    container[key] = _PLACEHOLDER
    header["__metadata__"]["transferkit"] = json.dumps(metadata).replace(json.dumps(_PLACEHOLDER), node)


def _deflated(random):
    shapes = [
        [-1],
        [0],
        [_LARGE],
        [1, _LARGE],
        [-20_000, -20_000],
        [-_LARGE],
        [1 << 62, 4],
        [float(_LARGE)],
        [True],
        [],
    ]
    return {"deflated": [["uint8", "int64"][random.randint(2)], shapes[random.randint(len(shapes))], "large"]}


def _strings(random):
    ends = ["back and forth", "back", "beyond", "below", "last"][random.randint(5)]
    shape = [[20_000], [100, 200], [-1], [10**9], [-100, -200]][random.randint(5)]
    return {"strings": ["UO"[random.randint(2)], shape, "text", ends]}


def _items(random):
    return {"items": [[[-1], [10**12], [1 << 62, 4], [0, 10**12]][random.randint(4)], []]}


def _sparse(random):
    shape = [[1, 1], [-1, 1], [10**12, 10**12], [1, 1 << 62]][random.randint(4)]
    return {"sparse": ["csr", "matrix", shape, {"array": "part"}, {"array": "part"}, {"array": "pointers"}]}


def _many(random):
    """Refer to one array, stream or text again and again."""
    nodes = [
        {"deflated": ["uint8", [_STREAM], "stream"]},
        {"sparse": ["csr", "matrix", [1, 1], {"array": "part"}, {"array": "part"}, {"array": "pointers"}]},
        {"strings": ["O", [20_000], "text", "last"]},
        {"array": "part"},
        {"estimator": 0},
    ]
    return [nodes[random.randint(len(nodes))]] * 2000


def _nested(random):
    depth = [99, 101, 900, 5000, 100_000][random.randint(5)]
    left, right = [("[", "]"), ('{"tuple":[', "]}"), ('{"dict":[[1,', "]]}")][random.randint(3)]
    return left * depth + "1" + right * depth


def _wide(random):
    piece = ["{}", "[]", '{"tuple":[]}', "[[]]", '{"float":"nan"}'][random.randint(5)]
    return "[" + ",".join([piece] * [1000, 10_000, 600_000][random.randint(3)]) + "]"


def _change_tree(root, random):
    """Replace, delete, copy, wrap or rename a random value of the metadata, or name another class."""
    places = list(_places(root))
    if not places:
        return
    node, key = places[random.randint(len(places))]
    choice = random.randint(6)
    if choice == 0:
        node[key] = copy.deepcopy(_ODD[random.randint(len(_ODD))])
    elif choice == 1:
        other, place = places[random.randint(len(places))]
        node[key] = copy.deepcopy(other[place])
    elif choice == 2:
        del node[key]
    elif choice == 3:
        node[key] = [node[key], {"tuple": [node[key]]}, {"dict": [[node[key], 1]]}][random.randint(3)]
    elif choice == 4 and isinstance(node, dict):
        node[_KEYS[random.randint(len(_KEYS))]] = node[key]
    elif classes := [node for node, key in places if key == "class" and isinstance(node, dict)]:
        classes[random.randint(len(classes))]["class"] = _CLASSES[random.randint(len(_CLASSES))]


def _places(root):
    """Yield (container, key) of every value in JSON data."""
    stack = [root]
    while stack:
        node = stack.pop()
        for key, value in list(node.items()) if isinstance(node, dict) else enumerate(node):
            yield node, key
            if isinstance(value, (dict, list)):
                stack.append(value)


def raise_timeout(*args):
    """Turn the alarm signal into an error."""
    raise AssertionError(f"a file took more than {SECONDS} s of the processor")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(read_many(Path(sys.argv[1]), int(sys.argv[2]))))
