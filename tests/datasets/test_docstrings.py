"""Docstrings of installed packages are found without importing them."""

import gc
import sys

import pytest

from transferkit.datasets import load_docstrings


@pytest.fixture(scope="module")
def docstrings():
    return load_docstrings(["joblib", "sklearn"])


def test_docstrings_are_many_different_texts_with_labels(docstrings):
    assert len(docstrings.data) > 2000
    assert len(set(docstrings.data)) == len(docstrings.data)
    assert all(len(text.split()) >= 5 for text in docstrings.data)
    assert set(docstrings.kind.tolist()) == {"module", "class", "method", "function"}
    assert set(docstrings.package.tolist()) == {"joblib", "sklearn"}
    assert "sklearn.linear_model" in docstrings.target_names
    assert docstrings.target_names == sorted(set(docstrings.target.tolist()))
    lengths = {len(docstrings[key]) for key in ("data", "target", "package", "kind", "name")}
    assert lengths == {len(docstrings.data)}


def test_docstring_of_a_known_class_is_found_where_it_is(docstrings):
    position = docstrings.name.index("sklearn.linear_model._ridge.Ridge")
    assert docstrings.kind[position] == "class"
    assert docstrings.target[position] == "sklearn.linear_model"
    assert docstrings.data[position].startswith("Linear least squares with l2 regularization.")


def test_order_of_docstrings_is_the_same_each_time():
    first, second = load_docstrings(["joblib"]), load_docstrings(["joblib"])
    assert first.data == second.data
    assert first.name == second.name


def test_packages_are_parsed_and_not_imported(tmp_path, monkeypatch):
    package = tmp_path / "unimportable_package"
    package.mkdir()
    (package / "__init__.py").write_text('"""Words of the package that is never imported."""\nraise SystemExit')
    (package / "broken.py").write_text("def (")
    (package / "part.py").write_text(
        'add_newdoc("part", "compiled", """\n    Words on a function that is compiled.\n    """)\n'
        'class A:\n    """Words on the class that is called A.\n\n    >>> 1 + 1\n    2\n\n    More words.\n    """\n'
        '    def f(self):\n        """Words on the method that is called f."""\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    bunch = load_docstrings(["unimportable_package"], remove_examples=True)
    assert "unimportable_package" not in sys.modules
    assert bunch.name == [
        "unimportable_package",
        "unimportable_package.part.compiled",
        "unimportable_package.part.A",
        "unimportable_package.part.A.f",
    ]
    assert bunch.kind.tolist() == ["module", "function", "class", "method"]
    assert bunch.data[1] == "Words on a function that is compiled."
    assert ">>>" not in bunch.data[2]
    assert bunch.data[2].endswith("More words.")


@pytest.mark.parametrize("name", ["no_such_package", "this", "no.dots", ""])
def test_package_that_is_not_installed_is_named(name):
    with pytest.raises(ValueError, match=f"The package '{name}' is not installed"):
        load_docstrings([name])


def test_no_docstring_long_enough_is_an_error():
    with pytest.raises(ValueError, match="hold no docstrings of 100000 words"):
        load_docstrings(["joblib"], min_words=100_000)


def test_the_collector_of_reference_cycles_is_left_as_it_was():
    for was_enabled in (False, True):
        (gc.enable if was_enabled else gc.disable)()
        load_docstrings(["joblib"])
        assert gc.isenabled() == was_enabled
