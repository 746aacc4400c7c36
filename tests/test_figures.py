"""The figures in the README and the documentation are those that the benchmarks wrote."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import bench_transfer  # noqa: E402
import encoder_tables  # noqa: E402
import first_screen  # noqa: E402
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


def test_mean_gains_have_the_standard_error_over_draws(tmp_path):
    gains = {"a": {"mean": 1.0, "standard error": 0.3}, "b": {"mean": 4.0, "standard error": 0.4}, "c": {"mean": 4.0}}
    (tmp_path / "bench_transfer.json").write_text(json.dumps({"english - scikit-learn": {"8": gains}}))
    results = tables.Results(tmp_path)
    assert tables.average_gains(results, "english", "8", "ab") == {"mean": 2.5, "standard error": 0.25}
    assert tables.average_gains(results, "english", "8", "abc") == {"mean": 3.0}  # of a single draw
    assert tables.average_gains(results, "english", "8", "abcd") is None


def test_the_first_screen_names_the_pipelines_that_are_ahead(tmp_path):
    row = {"english": {"accuracy": 60.0}, "ComplementNB": {"accuracy": 61.0}, "characters": {"accuracy": 60.0}}
    (tmp_path / "bench_transfer.json").write_text(json.dumps({"columns": {"8": {"sst2": row}, "64": {"sst2": row}}}))
    text = first_screen._describe_losses(tables.Results(tmp_path), ("sst2",))
    assert text == "`ComplementNB` is ahead on SST-2 with 8 and SST-2 with 64 labels."


def test_figures_of_transfer_that_were_not_measured_again_stay(tmp_path):
    def measured(accuracy):
        return {"accuracy": accuracy, "seconds": 1.0, "texts": 16, "commit": "new"}

    run = object.__new__(bench_transfer.Run)
    run.arguments, run.output = SimpleNamespace(quick=False), tmp_path / "bench_transfer.json"
    kept = {"accuracy": 70.0, "draws": 2, "seconds": 2.0, "texts": 16, "commits": ["old"]}
    run.output.write_text(json.dumps({"columns": {"8": {"trec": {"auto": kept, "english": kept}}}}))
    values = {"scikit-learn": (50.0, 52.0), "english": (53.0, 59.0)}
    run.parts = {f"trec 8 {k} {name}": measured(v) for name, two in values.items() for k, v in enumerate(two)}
    run.report()
    found = json.loads(run.output.read_text())
    row = found["columns"]["8"]["trec"]
    assert (list(row), row["auto"]) == (["scikit-learn", "auto", "english"], kept)
    assert (row["english"]["accuracy"], row["english"]["draws"], row["english"]["commits"]) == (56.0, 2, ["new"])
    assert found["english - scikit-learn"]["8"]["trec"] == {"mean": 5.0, "draws": 2, "standard error": 2.0}
    assert found["machine"]["commit"] == "new, old"
