"""The figures in the README and the documentation are those that the benchmarks wrote."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import encoder_tables  # noqa: E402
import make_tables  # noqa: E402
import run_all  # noqa: E402
import tables  # noqa: E402


@pytest.mark.parametrize("page", make_tables.PAGES)
def test_tables_are_what_the_results_say(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert make_tables.MARKED.search(text)
    assert make_tables.fill(text, tables.Results()) == text, "run: make tables"


def test_a_missing_figure_is_named_with_its_file(tmp_path):
    (tmp_path / "bench_heads.json").write_text('{"dense": {"seconds": {}}}')
    with pytest.raises(tables.MissingFigureError, match=r"^bench_heads.json has no figure at dense -> seconds -> X$"):
        tables.Results(tmp_path).get("heads", "dense", "seconds", "X")


def test_a_missing_rival_leaves_cells_empty(tmp_path):
    results = {"som": {"ours": {"seconds": 0.25, "error": 1.5}}}
    (tmp_path / "bench_unsupervised.json").write_text(json.dumps(results))
    row = make_tables.unsupervised_row("a map", "som", "ours", "MiniSom", "error", "error")
    text = tables.write_speeds(tables.Results(tmp_path), [row])
    assert (
        text.splitlines()[-1].replace("\N{NO-BREAK SPACE}", " ") == "| a map | 250 ms | MiniSom |  |  | error 1.5 /  |"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(195.42, "195 s"), (12.34, "12.3 s"), (0.2512, "251 ms"), (0.0016, "1.6 ms"), (7e-5, "70.0 µs")],
)
def test_durations_have_units(seconds, words):
    assert tables.duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == words


def test_every_benchmark_is_run():
    scripts = {path.stem.removeprefix("bench_") for path in (ROOT / "benchmarks").glob("bench_*.py")}
    assert set(run_all.BENCHMARKS) == scripts


def test_results_are_stamped_with_the_machine(tmp_path):
    path = tmp_path / "bench_text.json"
    path.write_text('{"words": 1}')
    run_all.stamp(path, [f"python benchmarks/bench_text.py --output {path}"], 1.26)
    results = json.loads(path.read_text())
    assert results["words"] == 1
    assert results["run"]["commands"] == ["python benchmarks/bench_text.py --output bench_text.json"]
    assert {"processor", "cores", "python", "versions", "commit"} <= set(results["run"])
    assert "transferkit" in results["run"]["versions"]


def test_a_benchmark_without_its_data_is_left_out(tmp_path):
    assert run_all.run("transfer", tmp_path, quick=False).startswith("needs wiki_en_sample and sst2")


def test_published_figures_name_their_source():
    for row in json.loads(encoder_tables.PUBLISHED.read_text(encoding="utf-8")):
        assert {"task", "labels per class", "system", "accuracy", "protocol"} <= set(row)
        assert "](https://" in row["source"]
