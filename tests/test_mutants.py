"""The list of mutants stays true while the package changes: each line is still there, and so are its tests."""

import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))
from mutants import MUTANTS, SURVIVORS  # noqa: E402

PACKAGE = TESTS.parent / "transferkit"


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_line_is_there_once_and_so_are_the_tests(mutant):
    text = (PACKAGE / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    assert text.replace(mutant.old, mutant.new) != text
    for path, _, name in (argument.partition("::") for argument in mutant.tests.split()):
        assert f"\ndef {name}(" in (TESTS / path).read_text(encoding="utf-8") if name else (TESTS / path).exists()


def test_names_are_used_once_and_survivors_are_mutants():
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
    assert set(SURVIVORS) <= {mutant.name for mutant in MUTANTS}
