"""Values derived from an object are computed when they are first needed, and again when their sources change."""

import gc

from transferkit._lazy import DerivedValues


class Owner:
    pass


def test_value_is_computed_again_when_a_source_is_replaced():
    values, owner, calls = DerivedValues(), Owner(), []
    first, second = [1], [1]  # equal, but not the same object

    def get(*sources):
        return values.get(owner, sources, lambda: calls.append(sources) or len(calls))

    assert [get(first), get(first), get(second), get(second, first), get(second, first)] == [1, 1, 2, 3, 3]
    values.forget(owner)
    assert get(second, first) == 4
    values.set(owner, [first], "given")
    assert get(first) == "given"


def test_value_is_dropped_with_its_owner():
    values, owner = DerivedValues(), Owner()
    values.set(owner, [], "value")
    assert len(values._known) == 1
    del owner
    gc.collect()
    assert len(values._known) == 0
