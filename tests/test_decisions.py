"""The page of constants has the values of the code, and lists every number of the transfer package."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "decisions.md"
PACKAGE = PAGE.parent.parent / "transferkit"
ROWS = re.findall(r"^\| `([\w.]+)\.(\w+)` \| `(.+?)` \| (.+) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.M)
NAMED = [f"{module}.{name}" for module, name, *_ in ROWS]


@pytest.mark.parametrize(("module", "name", "value"), [row[:3] for row in ROWS], ids=NAMED)
def test_values_are_those_of_the_code(module, name, value):
    assert getattr(import_module(f"transferkit.{module}"), name) == ast.literal_eval(value)


def test_every_row_of_the_tables_is_read_and_none_is_there_twice():
    n_lines = sum(line.startswith("| `") for line in PAGE.read_text(encoding="utf-8").splitlines())
    assert n_lines == len(ROWS) == len(set(NAMED))


def module_name(path):
    """Return the dotted name of a file of the package, without the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def find_numbers(path):
    """Yield the constants of a module that are numbers."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            names = [part.id for part in ast.walk(node.targets[0]) if isinstance(part, ast.Name)]
            module = import_module(f"transferkit.{module_name(path)}")
            yield from (name for name in names if name.isupper() and type(getattr(module, name)) in (int, float))


@pytest.mark.parametrize("path", sorted((PACKAGE / "transfer").rglob("_*.py")), ids=module_name)
def test_numbers_that_decide_on_transfer_are_in_the_tables(path):
    if path.stem != "__init__":
        assert [name for name in find_numbers(path) if f"{module_name(path)}.{name}" not in NAMED] == []
