"""Which columns of a table hold the texts and the labels, if their names do not say so."""

import re
from collections.abc import Sequence
from typing import Any

from transferkit.datasets._rows import MISSING, Rows
from transferkit.datasets.messages import messages

__all__ = ["find_column", "find_columns"]

LABEL_NAMES = ("labels", "class", "category", "target", "intent", "topic", "sentiment")
LEAST_WORDS = 4  # of a value that looks like a text: more than a date or a name has
LEAST_IDEOGRAPHS = 6  # the same in scripts without blanks between words
_LETTERS = re.compile(r"[^\W\d_]{2}")
_IDEOGRAPH = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")


def find_columns(
    rows: Rows, sample: Sequence[Sequence[Any]], text: str | None, label: str | None, *, labelled: bool
) -> list[str]:
    """Return the names of the column of texts and, if `labelled`, of that of labels.

    A given name must be that of a column. Otherwise labels are in the column "label", or in the only one with one of
    LABEL_NAMES, or in the one of two columns whose values repeat; and texts are in the column "text", or in the only
    other one, or in the only one that looks like texts. Columns without a name are left out of account. A column that
    was guessed is reported; ValueError, which lists the columns, is raised if none is found.
    """
    found_text, found_label = _find(rows, "text", text), _find(rows, "label", label) if labelled else None
    if found_text is None or (labelled and found_label is None):
        found_text, found_label = _guess(rows, sample, found_text, found_label, labelled)
    return [name for name in (found_text, found_label) if name is not None]


def _guess(rows, sample, text, label, labelled):
    """Return the columns of texts and labels, of which at least one is not known, and report it."""
    values = {name: _values_of(sample, place) for place, name in enumerate(rows.names) if name.strip()}
    guessed = []
    if labelled and label is None:
        label = _guess_label(values, text)
        _check_guess(rows, values, "label", label)
        guessed.append(("label", label))
    if text is None:
        others = {name: found for name, found in values.items() if name != label}
        text = _guess_text(rows, others)
        _check_guess(rows, others, "text", text)
        guessed.insert(0, ("text", text))
    is_certain = len(values) == 1
    _report(rows.name, guessed, messages().note if is_certain else messages().warn)
    return text, label


def find_column(rows: Rows, name: str) -> str:
    """Return the column of a name, or the only one that differs from it in case or surrounding blanks."""
    found = _find(rows, None, name)
    assert found is not None
    return found


def _find(rows, option, given):
    """Return the column with the given name or, if that is None, with the name of the option, if there is one."""
    name = option if given is None else given
    exact = [found for found in rows.names if found == name]
    found = exact or [found for found in rows.names if found.strip().casefold() == name.strip().casefold()]
    if len(found) > 1:
        raise ValueError(f"The file {rows.name!r} has {len(found)} columns {name!r}: rename all but one.")
    if not found and given is not None:
        raise ValueError(_list_columns(rows, name))
    return found[0] if found else None


def _list_columns(rows, name, remedy=""):
    return f"The file {rows.name!r} has no column {name!r}. Its columns are: {rows.names}.{remedy}"


def _values_of(sample, place):
    """Return the values of a column that are not empty, as strings."""
    values = (row[place] for row in sample if place < len(row))
    return [str(value) for value in values if value is not None and value is not MISSING and str(value).strip()]


def _guess_label(values, text):
    names = [name for name in values if _is_of_labels(name) and name != text]
    if not names:
        names = [name for name in values if name != text and _repeats(values[name])] if len(values) == 2 else []
    return names[0] if len(names) == 1 else None


def _is_of_labels(name):
    return name.strip().casefold() in ("label", *LABEL_NAMES)


def _repeats(values):
    return 2 * len(set(values)) <= len(values)


def _guess_text(rows, values):
    names = [name for name in values if any(map(_LETTERS.search, values[name])) and not _is_of_labels(name)]
    if len(names) > 1:
        names = [name for name in names if _looks_like_texts(values[name])]
    if len(names) > 1:
        raise ValueError(
            f"The file {rows.name!r} has no column 'text', and several that look like texts: {names}. Choose one: "
            f"{messages().option('text', names[0])}."
        )
    return names[0] if names else None


def _looks_like_texts(values):
    return 2 * sum(map(_looks_like_text, values)) > len(values)


def _looks_like_text(value):
    n_words = sum(_LETTERS.search(word) is not None for word in value.split())
    return n_words >= LEAST_WORDS or len(_IDEOGRAPH.findall(value)) >= LEAST_IDEOGRAPHS


def _check_guess(rows, values, option, found):
    """Raise ValueError if there is no such column, or if the first row is one of the data instead of the names."""
    is_data = rows.errors is None and any(name in values[name] for name in values)  # objects of JSON have no first row
    if is_data or (len(values) == 1 and _looks_like_text(next(iter(values)))):
        raise ValueError(
            f"The file {rows.name!r} has no column {option!r}, and its first row looks like one of the data: "
            f"{rows.names}. Put a row above it with the names of the columns, such as text and label."
        )
    if found is None:
        example = messages().option(option, next(iter(values), ""))
        raise ValueError(_list_columns(rows, option, f" Choose one, for example {example}." if len(values) > 1 else ""))
    find_column(rows, found)  # an error if there are several


def _report(name, guessed, say):
    columns = " and ".join(f"{option}s are those of the column {found!r}" for option, found in guessed)
    chosen = " and ".join(messages().option(option, found) for option, found in guessed)
    say(f"{name}: {columns}. Confirm this with {chosen}, or choose another column.")
