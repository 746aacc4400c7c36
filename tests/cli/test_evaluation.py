"""`finetune --cv` rejects impossible folds before it trains, and saves the model before it scores folds."""

import pytest

import transferkit


def write_table(path, counts):
    rows = [f"word {label * 3} text{i},{label}" for label, n in counts.items() for i in range(n)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("counts", "cv", "message"),
    [
        ({"a": 4, "b": 4}, 1, "--cv takes 2 or more folds, or 0 for none. Got 1."),
        ({"a": 4, "b": 4}, -3, "--cv takes 2 or more folds, or 0 for none. Got -3."),
        ({"a": 4, "b": 4}, 9, "--cv 9 asks for more folds than 't.csv' has texts: 8."),
        ({"a": 4, "b": 3}, 5, "--cv 5 asks for more folds than 't.csv' has texts of any class: at most 4."),
        ({"a": 4, "b": 1}, 2, "--cv 2 needs two texts of each class, but 't.csv' has one of class 'b'"),
    ],
)
def test_impossible_folds_are_refused_before_training(counts, cv, message, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "t.csv", counts)
    monkeypatch.setattr(transferkit.TransferClassifier, "fit", lambda *args: pytest.fail("trained"))
    code, out, error = run("finetune", "t.csv", "--strategy", "scratch", "-o", "m.tk", "--cv", cv)
    assert (code, out) == (2, "")
    assert error.startswith(f"Error: {message}")
    assert error.count("\n") == 1
    assert not (tmp_path / "m.tk").exists()


@pytest.mark.parametrize(
    ("counts", "cv", "note"),
    [
        ({"a": 4, "b": 4}, 0, ""),
        ({"a": 4, "b": 4}, 4, ""),
        ({"a": 4, "b": 2}, 2, ""),
        ({"a": 4, "b": 2}, 3, "Class 'b' has fewer texts (2) than --cv has folds"),
        ({"a": 4, "b": 4, "c": 1}, 2, "Class 'c' has fewer texts (1) than --cv has folds"),
    ],
)
def test_possible_folds_are_scored(counts, cv, note, tmp_path, run):
    path = write_table(tmp_path / "t.csv", counts)
    code, out, error = run("finetune", path, "--strategy", "scratch", "-C", 1, "-o", tmp_path / "m.tk", "--cv", cv)
    assert code == 0
    assert (f"accuracy in {cv} folds: " in out) == (cv > 0)
    assert "nan" not in out
    assert note in error
    assert bool(error) == bool(note)


def test_failure_of_a_fold_does_not_cost_the_model(tmp_path, run, monkeypatch):
    path = write_table(tmp_path / "t.csv", {"a": 4, "b": 4})
    fit = transferkit.TransferClassifier.fit

    def fit_all_rows_only(self, X, y):
        if len(X) < 8:
            raise ValueError("no such luck")
        return fit(self, X, y)

    monkeypatch.setattr(transferkit.TransferClassifier, "fit", fit_all_rows_only)
    code, _, error = run("finetune", path, "--strategy", "scratch", "-C", 1, "-o", tmp_path / "m.tk", "--cv", 2)
    assert code == 2
    assert error == "Error: The model is saved, but could not be evaluated in 2 folds (--cv): no such luck\n"
    assert transferkit.load(tmp_path / "m.tk").predict(["word aaa text1"]).tolist() == ["a"]
