"""Given any wrong file, a command reports the problem in one line, and writes nothing."""

import pickle
import zipfile

import pytest

from transferkit.cli import _serve

ANY = ["empty", "binary", "zip", "folder", "missing"]
TABLES = {
    "pretrain": ("pretrain", "BAD", "-o", "out"),
    "finetune": ("finetune", "BAD", "--strategy", "scratch", "-o", "out"),
    "evaluate": ("evaluate", "MODEL", "BAD"),
    "predict": ("predict", "MODEL", "BAD", "-o", "out"),
}
MODELS = {
    "finetune": ("finetune", "t.csv", "-e", "BAD", "-o", "out"),
    "evaluate": ("evaluate", "BAD", "t.csv"),
    "predict": ("predict", "BAD", "t.csv", "-o", "out"),
    "describe": ("describe", "BAD"),
    "verify": ("verify", "BAD"),
    "convert": ("convert", "BAD", "out.joblib"),
    "serve": ("serve", "BAD"),
}
OTHERS = {
    "convert": ("convert", "BAD", "out.tk", "--trust-code"),
    "verify": ("verify", "MODEL", "--key-file", "BAD"),
    "serve": ("serve", "MODEL", "--key-file", "BAD"),
}


def make_bad(kind, path, model):
    if kind == "folder":
        path.mkdir()
    elif kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("text.csv", "text,label\na,b\n" * 100)
    elif kind == "model":
        path.write_bytes(model.read_bytes())
    elif kind != "missing":
        contents = {
            "empty": b"",
            "binary": bytes(range(256)) * 8,
            "zeros": bytes(1000),
            "half a model": model.read_bytes()[:-100],
            "table": b"text,label\na cat,pet\na bond,money\n",
            "wrong columns": b"body,kind\na,b\n",
            "wrong keys": b'{"body": "a"}\n',
            "header only": b"text,label\n",
            "json": b"[1, 2]\n",
            "pickled dict": pickle.dumps({"a": 1}),
            "newlines": b"\n\n\n",
        }
        path.write_bytes(contents[kind])


@pytest.fixture
def check(run, saved_model, tmp_path, monkeypatch):
    """Return a function that runs a command with a bad file."""

    def check(command, kind, suffix):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(_serve, "run_server", lambda *_: pytest.fail("served"))
        (tmp_path / "t.csv").write_text("text,label\na cat,pet\na bond,money\n")
        make_bad(kind, tmp_path / f"bad{suffix}", saved_model)
        before = sorted(path.name for path in tmp_path.iterdir())
        names = {"BAD": f"bad{suffix}", "MODEL": saved_model}
        code, out, error = run(*(names.get(word, word) for word in command))
        assert (code, out) == (2, "")
        assert error.startswith("Error: ")
        assert len(error) > 20
        assert error.count("\n") == 1
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        return error

    return check


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".csv.gz", ".jsonl.gz"])
@pytest.mark.parametrize("kind", [*ANY, "zeros", "wrong columns", "wrong keys", "header only", "model", "json"])
@pytest.mark.parametrize("command", TABLES)
def test_bad_table_is_named(command, kind, suffix, check):
    assert f"'bad{suffix}'" in check(TABLES[command], kind, suffix)


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz", ".pdf", ""])
@pytest.mark.parametrize("kind", [*ANY, "model"])
@pytest.mark.parametrize("command", ["pretrain", "predict"])
def test_bad_text_file_is_named(command, kind, suffix, check):
    if (command, kind, suffix) == ("predict", "missing", ""):
        return  # a text of one word
    assert f"'bad{suffix}'" in check(TABLES[command], kind, suffix)


@pytest.mark.parametrize("kind", [*ANY, "half a model", "table", "newlines"])
@pytest.mark.parametrize("command", MODELS)
def test_bad_model_is_named(command, kind, check):
    if command == "serve":
        pytest.importorskip("fastapi")
    assert "'bad.tk'" in check(MODELS[command], kind, ".tk")


@pytest.mark.parametrize("kind", [*ANY, "model", "table", "pickled dict"])
def test_bad_joblib_file_is_named(kind, check):
    assert "'bad.joblib'" in check(OTHERS["convert"], kind, ".joblib")


@pytest.mark.parametrize("kind", ANY)
@pytest.mark.parametrize("command", ["verify", "serve"])
def test_bad_key_is_named(command, kind, check):
    error = check(OTHERS[command], kind, ".key")
    assert "'bad.key'" in error or kind in ("binary", "zip")  # any bytes are a key, with which this model is not signed
