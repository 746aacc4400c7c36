"""What looks wrong in labelled texts, counted and reported."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

from transferkit.datasets._tables import Table
from transferkit.datasets.messages import messages

__all__ = ["report_blank_rows", "report_empty_texts", "report_labels", "report_swallowed_rows"]

_MOST_EXAMPLES = 5


def report_blank_rows(n_blank: int, name: str) -> None:
    """Report blank lines, which are no texts."""
    if n_blank:
        messages().note(f"{name}: skipped {_count(n_blank, 'blank line')}.")


def report_empty_texts(table: Table, name: str) -> None:
    """Report rows whose text is empty."""
    places = [place for place, row in enumerate(table.rows) if not row[0].strip()]
    if places:
        first = table.locate(places[0])
        n_texts = f"{len(places):,} of {_count(len(table.rows), 'text')}"
        messages().warn(f"{name}: {n_texts} {'is' if len(places) == 1 else 'are'} empty, the first in {first}.")


def report_labels(texts: Sequence[str], written: Sequence[str], labels: Sequence[str], name: str) -> None:
    """Report labels that look the same to a reader, and equal texts with different labels.

    `written` are the labels as in the file, `labels` those without surrounding blanks.
    """
    _report_blanks(written, labels, name)
    _report_variants(Counter(labels), name)
    _report_contradictions(texts, labels, name)


def _report_blanks(written, labels, name):
    counts = Counter(label for _, label in set(zip(written, labels, strict=True)))
    changed = [label for found, label in zip(written, labels, strict=True) if found != label and counts[label] > 1]
    if changed:
        messages().warn(
            f"{name}: blanks around {_count(len(changed), 'label')} were removed, so that they equal others: "
            f"{_list(map(repr, sorted(set(changed))))}."
        )


def _report_variants(counts, name):
    variants = defaultdict(list)
    for label in sorted(counts):
        variants[" ".join(unicodedata.normalize("NFKC", label).casefold().split())].append(label)
    groups = [
        " and ".join(f"{label!r} ({_count(counts[label], 'text')})" for label in found)
        for found in variants.values()
        if len(found) > 1
    ]
    if groups:
        messages().warn(
            f"{name}: labels differ only in case, whitespace or Unicode form, but are different classes: "
            f"{_list(groups)}. Unify them if they are meant to be one class."
        )


def _report_contradictions(texts, labels, name):
    keys, first = [text.strip() for text in texts], {}
    contradicting = {
        text for text, label in zip(keys, labels, strict=True) if first.setdefault(text, label) != label and text
    }
    if contradicting:
        rows = [(text, label) for text, label in zip(keys, labels, strict=True) if text in contradicting]
        example = rows[0][0]
        found = sorted({label for text, label in rows if text == example})
        short = example if len(example) <= 60 else f"{example[:60]}..."
        verb = "has" if len(contradicting) == 1 else "have"
        messages().warn(
            f"{name}: {_count(len(contradicting), 'text')} in {len(rows):,} rows {verb} different labels, for example "
            f"{short!r} has {_list(map(repr, found))}. All these rows are used."
        )


def report_swallowed_rows(table: Table, labels: set[str], name: str) -> None:
    """Report a quoted text whose lines end with labels, or have a label before the text, as rows do."""
    if not table.quoting:
        return
    for place, (text, *_) in enumerate(table.rows):
        *lines, last = text.splitlines() if "\n" in text else [text]
        after = [table.separator in line and line.rpartition(table.separator)[2].strip() in labels for line in lines]
        before = [not labels.isdisjoint(line.split(table.separator)[:-1]) for line in [*lines, last][1:]]
        if lines and (all(after) or all(before)):
            messages().warn(
                f"The row that begins on {table.locate(place)} of {name!r} has a quoted text of several lines, which "
                "look like rows of the table. Is a quote missing? If quotes are part of the texts, pass "
                f"{messages().option('quoting', False)}."
            )
            return


def _count(n, noun):
    return f"{n:,} {noun}{'s' * (n != 1)}"


def _list(words):
    words = list(words)
    rest = len(words) - _MOST_EXAMPLES
    return ", ".join(words[:_MOST_EXAMPLES]) + (f" and {rest} more" if rest > 0 else "")
