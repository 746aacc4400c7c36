"""The public names are what they say, load nothing heavy, and are documented."""

import ast
import importlib
import inspect
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

import transferkit

PACKAGES = [
    "transferkit",
    *(
        f"transferkit.{package}"
        for package in (
            "adaptation",
            "compression",
            "datasets",
            "distributed",
            "encoders",
            "exceptions",
            "export",
            "heads",
            "inspection",
            "selection",
            "transfer",
        )
    ),
]
# numpydoc's checks that contradict the house style: extended summaries and examples only where they teach, no
# "See Also" for its own sake, defaults of ignored parameters.
IGNORED_CHECKS = {
    "ES01",
    "SA01",
    "SA04",
    "EX01",
    "GL08",
    "PR08",
    "PR09",
    "RT02",
    "RT03",
    "RT04",
    "RT05",
    "GL01",
    "GL02",
    "GL03",
    "YD01",
}


def public_objects():
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            if not inspect.ismodule(getattr(module, name)):
                yield f"{package}.{name}"


def public_methods():
    for name in sorted(set(public_objects())):
        package, _, class_name = name.rpartition(".")
        cls = getattr(importlib.import_module(package), class_name)
        if inspect.isclass(cls) and package == "transferkit":
            for method, function in vars(cls).items():
                if not method.startswith("_") and callable(function):
                    yield f"{name}.{method}"


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_true_and_sorted(package):
    module = importlib.import_module(package)
    assert list(module.__all__) == sorted(
        module.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)
    )
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_lazy_names_and_all_agree():
    assert {*transferkit._PACKAGE_OF_NAME, "datasets"} == set(transferkit.__all__)
    assert set(transferkit.__all__) <= set(dir(transferkit))


@pytest.mark.parametrize("package", ["", ".adaptation", ".encoders", ".heads", ".persistence", ".transfer"])
def test_type_checkers_see_the_names_that_are_imported_when_asked(package):
    module = importlib.import_module(f"transferkit{package}")
    [block] = [node for node in ast.parse(Path(module.__file__).read_text()).body if isinstance(node, ast.If)]
    found = {alias.name: node.module for node in block.body for alias in node.names}
    assert set(found) == set(module.__all__)
    for name, source in found.items():
        assert getattr(importlib.import_module(source), name) is getattr(module, name)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        transferkit.Nonsense  # noqa: B018


def test_import_loads_neither_torch_nor_scikit_learn():
    code = "import sys, transferkit; print(sorted({'torch', 'sklearn', 'numpy', 'scipy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_no_public_name_imports_torch_or_dask(run_without_torch):
    code = """
import sys, transferkit
for name in transferkit.__all__:
    getattr(transferkit, name)
print({"dask", "distributed"} & set(sys.modules))
"""
    assert run_without_torch(code).strip() == "set()"


@pytest.mark.parametrize("name", sorted({*public_objects(), *public_methods()}))
def test_docstring_is_valid_numpydoc(name):
    errors = [error for error in validate(name)["errors"] if error[0] not in IGNORED_CHECKS]
    assert errors == []


def is_literal(text, value):
    """Return whether a text is a literal of the value, or its `repr`."""
    try:
        return ast.literal_eval(text) == value
    except (SyntaxError, ValueError):
        return text in (repr(value), f"np.{getattr(value, '__name__', '')}")


def test_defaults_in_docstrings_are_those_of_the_signatures():
    wrong, n_stated = [], 0
    for name in sorted({*public_objects(), *public_methods()}):
        found = pydoc.locate(name)
        if not callable(found) or (inspect.isclass(found) and issubclass(found, (Exception, tuple))):
            continue
        signature = inspect.signature(found).parameters
        for parameter in NumpyDocString(inspect.getdoc(found) or "")["Parameters"]:
            stated = re.search(r"default=(.+)$", parameter.type)
            if stated and parameter.name in signature:
                n_stated += 1
                if not is_literal(stated[1], signature[parameter.name].default):
                    wrong.append((name, parameter.name, stated[1], signature[parameter.name].default))
    assert wrong == []
    assert n_stated > 500


def test_words_are_spelled_right():
    root = Path(__file__).parents[1]
    folders = [
        path
        for path in ("transferkit", "tests", "docs", "datasets", "benchmarks", "examples")
        if (root / path).exists()
    ]
    command = [sys.executable, "-m", "codespell_lib", "--toml", "pyproject.toml", *folders]
    files = [str(path.relative_to(root)) for path in root.glob("*.md")]
    result = subprocess.run([*command, *files], cwd=root, capture_output=True, text=True, check=False)
    assert result.stdout + result.stderr == ""
