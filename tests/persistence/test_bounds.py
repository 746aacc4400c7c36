"""Small files that would take much memory are rejected before they do, in a process with little memory."""

import functools
import json
import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest

import transferkit
from transferkit import TfidfEncoder
from transferkit.exceptions import ModelFileError
from transferkit.persistence import _bounds, _container

pytest.importorskip("resource", reason="bounds the memory of a process as POSIX systems do")

LARGE = 400_000_000
MEGABYTES = 300  # of address space beyond what the process has before it loads


def strings(kind, text, ends, size=None):
    """Return a change of a file: an array of strings that end where `ends` says."""

    def change(state, arrays):
        arrays["text"], arrays["ends"] = np.frombuffer(text, np.uint8), np.asarray(ends, dtype=np.int64)
        state["stop_words"] = {"strings": [kind, [len(ends) if size is None else size], "text", "ends"]}

    return change


@functools.cache
def zeros(n_bytes):
    """Return a stream that inflates to this many zeros."""
    return np.frombuffer(zlib.compress(bytes(n_bytes)), np.uint8)


def deflated(shape, n_bytes):
    def change(state, arrays):
        arrays["stream"] = zeros(n_bytes)
        state["stop_words"] = {"deflated": ["uint8", shape, "stream"]}

    return change


def inflated_often(state, arrays):
    arrays["stream"] = zeros(4_000_000)
    node = {"deflated": ["uint8", [4_000_000], "stream"]}
    state["stop_words"] = [{"strings": ["O", [1], "stream", "stream"]}, *[node] * 1000]


def copied_often(state, arrays):
    arrays["part"], arrays["pointers"] = np.zeros(10_000), np.zeros(2, np.int32)
    part = {"array": "part"}
    sparse = {"sparse": ["csr", "matrix", [1, 1], part, {"array": "part"}, {"array": "pointers"}]}
    state["stop_words"] = [sparse] * 10_000


def many_objects(state, arrays):
    state["stop_words"] = [{}] * 3_000_000


def items_of_no_size(state, arrays):
    state["stop_words"] = {"items": [[-1], []]}


BOMBS = {
    "a negative size inflates without end": deflated([-1], LARGE),
    "two negative sizes": deflated([-20_000, -20_000], LARGE),
    "a true size out of proportion": deflated([LARGE], LARGE),
    "a size that is no integer": deflated([4e8], LARGE),
    "ends go back and forth, objects": strings("O", b"a" * 60_000, [60_000, 0] * 10_000),
    "ends go back and forth, strings": strings("U", b"a" * 60_000, [60_000, 0] * 10_000),
    "ends are negative": strings("O", b"a" * 60_000, [-1, 60_000] * 10_000),
    "ends lie beyond the text": strings("O", b"a", [10**12]),
    "fewer strings than the shape says": strings("O", b"a", [1], size=10**9),
    "one long string among many": strings("U", b"a" * 60_000, [0] * 60_000 + [60_000]),
    "one stream inflated often": inflated_often,
    "one array copied often": copied_often,
    "many empty objects": many_objects,
    "an array of objects of negative size": items_of_no_size,
}

READ = """
    import json, resource, sys
    import transferkit, transferkit.persistence._model_file, transferkit.encoders
    from transferkit.exceptions import ModelFileError
    transferkit.load(sys.argv[1])  # all that a model of this kind imports
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[2]), -1))
    outcomes = {}
    for path in sys.argv[3:]:
        for read in (transferkit.load, transferkit.describe):
            try:
                read(path)
                outcomes[f"{path} {read.__name__}"] = "read"
            except ModelFileError as error:
                cause = type(error.__cause__).__name__
                outcomes[f"{path} {read.__name__}"] = cause if cause == "MemoryError" else "refused"
            except BaseException as error:
                outcomes[f"{path} {read.__name__}"] = type(error).__name__
    print(json.dumps(outcomes))
"""


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    path = tmp_path_factory.mktemp("bounds") / "valid.tk"
    transferkit.save(TfidfEncoder().fit(["one text", "another text"]), path)
    return path


def write_bomb(valid, path, change):
    """Write the valid file again with a change of its state and arrays, past the checks of saving."""
    with _container.open_container(valid) as file:
        header = _container.read_header(file)
        arrays = {name: part.copy() for name, part in _container.read_arrays(file, header, mmap=False).items()}
    change(header.metadata["estimators"][0]["state"], arrays)
    _container.write_container(path, arrays, header.metadata)


@pytest.fixture(scope="module")
def outcomes(valid):
    """Return the outcome of each bomb in a process with little memory."""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads the size of the process from /proc")
    paths = {name: valid.with_name(f"bomb{number}.tk") for number, name in enumerate(BOMBS)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_container, "check_json", lambda text, n_bytes: 0)
        for name, path in paths.items():
            write_bomb(valid, path, BOMBS[name])
            assert path.stat().st_size < 20_000_000
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(READ), valid, MEGABYTES << 20, *paths.values()]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    return {name: [found[f"{path} {read}"] for read in ("load", "describe")] for name, path in paths.items()}


@pytest.mark.parametrize("name", BOMBS)
def test_file_that_would_fill_the_memory_is_refused(outcomes, name):
    load, describe = outcomes[name]
    assert load == "refused"
    assert describe in ("refused", "read")  # which looks at the header alone


def test_budget_is_64_megabytes_or_64_times_the_file():
    _bounds.Budget(10).spend(1 << 26)
    with pytest.raises(ModelFileError, match=r"more than 64 MB of memory, out of proportion to its 10 bytes"):
        _bounds.Budget(10).spend((1 << 26) + 1)
    budget = _bounds.Budget(1 << 21)
    budget.spend(1 << 27)
    with pytest.raises(ModelFileError, match="more than 128 MB"):
        budget.spend(1)


@pytest.mark.parametrize(
    ("longest", "n_bytes", "is_out"),
    [(1 << 12, 10, False), ((1 << 12) + 1, 10, True), (1 << 13, 1 << 21, False), ((1 << 13) + 1, 1 << 21, True)],
)
def test_strings_as_long_as_the_longest_are_in_proportion_to_their_text(longest, n_bytes, is_out):
    assert _bounds.is_out_of_proportion(1 << 12, longest, n_bytes) == is_out


@pytest.mark.parametrize("ends", [[2, 1, 3], [-1, 2, 3], [1, 2], [1, 2, 4], [1, 2, 2]])
def test_ends_ascend_to_the_end_of_the_text(ends):
    _bounds.check_ends(np.array([1, 1, 3]), 3, 3)
    with pytest.raises(ValueError, match=r"strings? must"):
        _bounds.check_ends(np.array(ends), 3, 3)


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["a", ""]])
@pytest.mark.parametrize("dtype", [object, np.str_])
def test_few_and_empty_strings_come_back(texts, dtype, tmp_path):
    encoder = TfidfEncoder().fit(["one text", "another text"])
    encoder.stop_words = np.array(texts, dtype=dtype)
    transferkit.save(encoder, tmp_path / "model.tk")
    loaded = transferkit.load(tmp_path / "model.tk", verify=None).stop_words
    assert loaded.tolist() == texts
    assert loaded.dtype.kind == encoder.stop_words.dtype.kind


@pytest.mark.parametrize("shape", [[-1], [1.0], [True], "3", None, [1 << 63], [1] * 65])
def test_shapes_are_short_lists_of_natural_numbers(shape):
    assert _bounds.count_entries([2, 3]) == 6
    with pytest.raises(ValueError, match="a shape must be a short list"):
        _bounds.count_entries(shape)


def test_keys_of_one_hash_are_refused():
    _bounds.check_keys(list(range(5000)))
    with pytest.raises(ValueError, match="too many keys have the same hash"):
        _bounds.check_keys([i * (2**61 - 1) for i in range(1, 5000)])


def test_signature_that_is_no_hexadecimal_number_is_refused(valid, tmp_path):
    content = valid.read_bytes()
    place = content.index(b'"signature":"') + len(b'"signature":"')
    odd = tmp_path / "odd.tk"
    odd.write_bytes(content[:place] + "é".encode() * 32 + content[place + 64 :])
    for key in (None, b"key"):
        with pytest.raises(ModelFileError, match="is not a transferkit model file, or is damaged"):
            transferkit.load(odd, verify_key=key)


def test_values_that_load_would_reject_are_not_saved(tmp_path):
    encoder = TfidfEncoder().fit(["one text", "another text"])
    encoder.stop_words = [{} for _ in range(200_000)]
    with pytest.raises(ModelFileError, match="too many lists and objects"):
        transferkit.save(encoder, tmp_path / "model.tk")
    assert not list(tmp_path.iterdir())
