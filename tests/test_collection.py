"""Collecting the tests fits no model: otherwise every run pays for it, even a run of one test."""

import ast
from pathlib import Path

import pytest

FITS = {"fit", "fit_transform", "fit_predict", "partial_fit", "save"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def walk_what_runs(statements):
    """Yield the nodes that run with some statements: all but the bodies of the functions that they define."""
    stack = list(statements)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, FUNCTIONS):
            decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
            stack += [*decorators, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        elif not (isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)):
            stack += ast.iter_child_nodes(node)


def find_called(statements):
    """Yield (name, line) of every function or method that some statements call."""
    for node in walk_what_runs(statements):
        if isinstance(node, ast.Call):
            function = node.func
            yield getattr(function, "attr", getattr(function, "id", None)), node.lineno


def find_fits(source):
    """Return the lines of a module that fit when it is imported, themselves or by functions that it defines."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS[:2])]
    calls = [(function.name, {name for name, _ in find_called(function.body)}) for function in functions]
    fitting = set(FITS)
    while found := {name for name, called in calls if called & fitting} - fitting:
        fitting |= found
    return sorted(line for name, line in find_called(tree.body) if name in fitting)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("x = 1\nmodel = PCA(2).fit(X)", [2]),
        ("@pytest.mark.parametrize('model', [PCA(2).fit(X)])\ndef test(model): pass", [1]),
        ("class Test:\n    rows = PCA(2).fit_transform(X)", [2]),
        ("def test(model=PCA(2).fit(X)): pass", [1]),
        ("def models():\n    yield make()\ndef make():\n    return PCA(2).fit(X)\nMODELS = list(models())", [5]),
        ("MODELS = {'pca': lambda: PCA(2).fit(X)}\ndef test():\n    MODELS['pca']().transform(X)", []),
        ("def models():\n    yield lambda: PCA(2).fit(X)\nMODELS = list(models())", []),
        ("if __name__ == '__main__':\n    PCA(2).fit(X)", []),
    ],
)
def test_fits_at_import_are_found(source, lines):
    assert find_fits(source) == lines


def test_no_model_is_fitted_while_tests_are_collected():
    paths = sorted(Path(__file__).parent.rglob("*.py"))
    assert len(paths) > 50
    found = [f"{path.name}:{line}" for path in paths for line in find_fits(path.read_text(encoding="utf-8"))]
    assert not found, f"fitted while tests are collected; make it in the test or a cached function: {found}"
