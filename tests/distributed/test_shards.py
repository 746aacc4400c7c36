"""Every kind of shard, read by the workers."""

import csv
import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from transferkit import KMeansEncoder, TfidfEncoder
from transferkit.distributed import _shards, fit_sharded
from transferkit.distributed._shards import find_shards
from transferkit.exceptions import MissingExtraError, ShardError


@pytest.fixture
def small(texts):
    """Texts without line breaks, as a txt file needs them."""
    lines = [" ".join(text.split()) for text in texts[:60]]
    return [lines[begin : begin + 20] for begin in range(0, 60, 20)]


@pytest.fixture
def expected(small):
    return TfidfEncoder().fit([text for shard in small for text in shard])


def assert_equal(found, expected):
    assert found.vocabulary_ == expected.vocabulary_
    assert found.n_documents_ == expected.n_documents_
    np.testing.assert_array_equal(found.idf_, expected.idf_)


def write(path, texts, column):
    if path.suffix == ".parquet":
        parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
        parquet.write_table(arrow.table({"id": list(range(len(texts))), column: texts}), path)
        return
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else open(path, "w", newline="") as file:
        if ".csv" in path.name:
            csv.writer(file).writerows([["id", column], *enumerate(texts)])
        elif ".jsonl" in path.name:
            file.writelines(json.dumps({column: text}) + "\n" for text in texts)
        else:
            file.writelines(text + "\n" for text in texts)


@pytest.mark.parametrize("ending", ["txt", "csv", "csv.gz", "jsonl", "parquet"])
def test_files_by_pattern_and_by_path(ending, small, expected, tmp_path):
    for number, texts in enumerate(small):
        write(tmp_path / f"texts-{number}.{ending}", texts, "body")
    assert_equal(fit_sharded(TfidfEncoder(), f"{tmp_path}/*.{ending}", column="body"), expected)
    assert_equal(fit_sharded(TfidfEncoder(), tmp_path / f"*.{ending}", column="body"), expected)
    assert_equal(fit_sharded(TfidfEncoder(), sorted(tmp_path.iterdir()), column="body"), expected)
    if ending != "txt":
        with pytest.raises(ShardError, match=rf"texts-0.{ending}' failed: ValueError: .*'text'"):
            fit_sharded(TfidfEncoder(), f"{tmp_path}/*.{ending}")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_files_behind_a_url(ending, small, expected, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for number, texts in enumerate(small):
        write(tmp_path / f"t.{ending}", texts, "text")
        memory.pipe(f"/corpus/{ending}/{number}.{ending}", (tmp_path / f"t.{ending}").read_bytes())
    found = fit_sharded(TfidfEncoder(), f"memory://corpus/{ending}/*.{ending}")
    assert_equal(found, expected)


def test_collections_and_functions_in_a_list(small, expected):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    kinds = [iter(small[0]), lambda: iter(small[1]), pandas.Series(small[2])]
    assert_equal(fit_sharded(TfidfEncoder(), kinds), expected)
    kinds = [np.array(small[0]), tuple(small[1]), polars.Series(small[2]), []]
    encoder = fit_sharded(TfidfEncoder(), kinds)
    assert_equal(encoder, expected)
    assert encoder.n_shards_ == 4  # one of them is empty


@pytest.mark.parametrize("with_cluster", [False, True])
def test_dask_collections(with_cluster, small, expected, request):
    bag, frame = pytest.importorskip("dask.bag"), pytest.importorskip("dask.dataframe")
    pandas = pytest.importorskip("pandas")
    client = request.getfixturevalue("client") if with_cluster else None
    texts = [text for shard in small for text in shard]
    column = frame.from_pandas(pandas.DataFrame({"text": texts}), npartitions=4)["text"]
    for collection in (bag.from_sequence(texts, npartitions=5).map(str.upper), column):
        assert_equal(fit_sharded(TfidfEncoder(), collection, client=client), expected)


def test_persisted_collection_stays_on_its_cluster(client, small, expected):
    bag = pytest.importorskip("dask.bag")
    held = client.persist(bag.from_sequence([text for shard in small for text in shard], npartitions=3))
    assert_equal(fit_sharded(TfidfEncoder(), held.map(str.strip), client=client), expected)
    with pytest.raises(ValueError, match="pass the client of that cluster"):
        fit_sharded(TfidfEncoder(), held)


@pytest.mark.parametrize("with_cluster", [False, True])
def test_rows_from_arrays_and_files(with_cluster, tmp_path, request):
    array, arrow = pytest.importorskip("dask.array"), pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    client = request.getfixturevalue("client") if with_cluster else None
    rows = np.random.RandomState(0).normal(size=(90, 4)).astype(np.float32)
    expected = KMeansEncoder(3).fit(rows)
    for number in range(3):
        part = rows[number * 30 : number * 30 + 30]
        np.save(tmp_path / f"{number}.npy", part)
        table = arrow.table({"features": arrow.FixedSizeListArray.from_arrays(arrow.array(part.ravel()), 4)})
        parquet.write_table(table, tmp_path / f"{number}.parquet")
    for shards in (array.from_array(rows, chunks=(25, 2)), f"{tmp_path}/*.npy", f"{tmp_path}/*.parquet"):
        found = fit_sharded(KMeansEncoder(3), shards, client=client, column="features")
        np.testing.assert_allclose(found.cluster_centers_, expected.cluster_centers_, atol=1e-5)


def test_partition_holds_its_own_part_of_the_graph_only():
    bag = pytest.importorskip("dask.bag")
    shards = find_shards(bag.from_sequence(range(100), npartitions=50).map(str), "text")
    assert len(shards) == 50
    assert max(len(shard.read.args[0]) for shard in shards) <= 3


def test_items_that_are_not_shards_are_named(tmp_path):
    with pytest.raises(ValueError, match="shard 0 is one bare str"):
        fit_sharded(TfidfEncoder(), ["a text", "another"])
    with pytest.raises(TypeError, match=r"shard 1 is 3\.5"):
        fit_sharded(TfidfEncoder(), [["a text"], 3.5])
    with pytest.raises(TypeError, match=r"Shards are a Dask collection.*Got int"):
        fit_sharded(TfidfEncoder(), 7)
    with pytest.raises(ValueError, match="at least one shard"):
        fit_sharded(TfidfEncoder(), [])
    with pytest.raises(FileNotFoundError, match="No file matches"):
        fit_sharded(TfidfEncoder(), f"{tmp_path}/*.txt")
    (tmp_path / "notes.docx").touch()
    with pytest.raises(ValueError, match=r"one of the kinds txt, .*notes.docx"):
        fit_sharded(TfidfEncoder(), f"{tmp_path}/*")


def test_missing_extra_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    command = r"pip install 'transferkit\[dask\]'"
    with pytest.raises(MissingExtraError, match=command):
        _shards.import_parquet()
    with pytest.raises(MissingExtraError, match=command):
        find_shards("s3://bucket/*.txt", "text")


def test_changed_file_has_another_stamp(tmp_path):
    path = Path(tmp_path / "texts.txt")
    path.write_text("a text\n")
    [shard] = find_shards(path, "text")
    before = shard.stamp()
    path.write_text("another text\n")
    assert shard.stamp() != before
