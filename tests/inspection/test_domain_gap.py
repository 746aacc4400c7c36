"""The gap between two domains: none where there is none, found where there is one, drawn."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import StandardScaler

from transferkit import DomainGapDisplay, LSAEncoder, domain_gap

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(400, 4))


def test_same_domain_has_no_gap():
    areas = [domain_gap(rows[:150], rows[150:]) for rows in (RNG.normal(size=(300, 4)) for _ in range(20))]
    assert sum(gap.is_shifted for gap in areas) <= 3
    assert abs(np.mean([gap.auc for gap in areas]) - 0.5) < 0.05


TIED = {
    "two binary features": lambda random, n: random.integers(0, 2, size=(n, 2)).astype(float),
    "one-hot": lambda random, n: np.eye(3)[random.integers(0, 3, size=n)],
    "counts, sparse": lambda random, n: sparse.csr_matrix(random.poisson(0.3, size=(n, 4)).astype(float)),
    "texts of one word": lambda random, n: [["yes", "no", "maybe"][k] for k in random.integers(0, 3, size=n)],
}


@pytest.mark.parametrize("kind", TIED)
def test_ties_are_no_shift(kind):
    random = np.random.default_rng(1)
    gaps = [domain_gap(TIED[kind](random, 100), TIED[kind](random, 150), cv=3) for _ in range(20)]
    assert sum(gap.is_shifted for gap in gaps) <= 1
    assert abs(np.mean([gap.auc for gap in gaps]) - 0.5) < 0.02


def test_rows_that_are_all_the_same_have_no_gap():
    for source, target in ((np.ones((101, 2)), np.ones((57, 2))), (["the same"] * 23, ["the same"] * 31)):
        gap = domain_gap(source, target)
        assert gap.auc == 0.5
        assert not gap.is_shifted
        assert gap.top(1)[0][1] == 0


def test_shift_of_tied_features_is_found():
    random = np.random.default_rng(0)
    source, target = random.random((400, 2)) < 0.5, random.random((400, 2)) < [0.5, 0.9]
    gap = domain_gap(source.astype(float), target.astype(float))
    assert gap.is_shifted
    assert gap.top(1)[0][0] == "x1"
    assert gap.auc == pytest.approx(0.7, abs=0.06)  # 0.5 + (0.9 - 0.5) / 2


def test_shifted_feature_is_found_and_named():
    gap = domain_gap(ROWS[:200], np.add(ROWS[200:], [0, 0, 3, 0]))
    assert gap.is_shifted
    assert gap.auc > 0.95
    assert gap.interval[0] < gap.auc < gap.interval[1]
    (name, drift), *_ = gap.top(1)
    assert name == "x2"
    assert drift == pytest.approx(3, abs=0.4)
    assert "shifted" in repr(gap)


def test_sparse_rows_give_what_dense_rows_give():
    rows = ROWS * (ROWS > 0)
    target = rows[200:] * [1, 1, 2, 1]
    dense = domain_gap(rows[:200], target)
    found = domain_gap(sparse.csr_matrix(rows[:200]), sparse.csr_matrix(target))
    np.testing.assert_allclose(found.drift, dense.drift)
    assert found.auc == pytest.approx(dense.auc, abs=0.05)


@pytest.mark.parametrize("encoder", [None, LSAEncoder(3, min_df=1)])
def test_texts(encoder):
    books = [f"{word} in the book" for word in ("plot", "hero", "chapter", "novel", "page", "print")]
    pans = [f"{word} of the pan" for word in ("lid", "handle", "coating", "rim", "base", "grip")]
    gap = domain_gap(books, pans, encoder=encoder, cv=3)
    assert gap.auc == 1
    mixed = domain_gap(books[0::2] + pans[0::2], books[1::2] + pans[1::2], encoder=encoder, cv=3)
    assert not mixed.is_shifted  # each has words of both
    if encoder is None:
        assert {name for name, _ in gap.top(4)} == {"book", "in", "of", "pan"}


def test_data_frames_bring_their_names():
    pandas = pytest.importorskip("pandas")
    frames = [pandas.DataFrame(rows, columns=list("abcd")) for rows in (ROWS[:200], np.add(ROWS[200:], [0, 2, 0, 0]))]
    assert domain_gap(*frames).top(1)[0][0] == "b"


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_columns_of_data_frames_are_compared_by_name(kind):
    frames = [pytest.importorskip(kind).DataFrame(dict(zip("abcd", rows.T, strict=True))) for rows in (ROWS, ROWS + 1)]
    with pytest.raises(ValueError, match=r"same columns in the same order\. Got 'a' and 'd' as column 0"):
        domain_gap(frames[0], frames[1][list("dcba")])
    encoder = StandardScaler().fit(frames[0])
    expected = domain_gap(ROWS, ROWS + 1, encoder=StandardScaler().fit(ROWS)).auc
    assert domain_gap(*frames, encoder=encoder).auc == expected
    assert domain_gap(*frames, encoder=StandardScaler()).auc == pytest.approx(expected, abs=0.02)


def test_picture_shows_the_features_that_differ_most():
    pytest.importorskip("matplotlib").use("Agg")
    gap = domain_gap(ROWS[:200], ROWS[200:] * [1, 0, 1, 1] + [0, 7, -2, 0])
    display = gap.plot(n=3)
    assert [label.get_text() for label in display.ax_.get_yticklabels()][::-1][:2] == ["x1", "x2"]
    assert len(display.bars_) == 3
    assert "AUC" in display.ax_.get_title()
    again = DomainGapDisplay.from_domains(ROWS[:200], ROWS[200:], n=2, ax=display.ax_)
    assert again.figure_ is display.figure_
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X_target": ROWS[:, :3]}, "Got 4 and 3 of them"),
        ({"X_target": ROWS[:2]}, "needs at least cv=5 rows per domain"),
        ({"C": 0}, "'C' parameter of domain_gap"),
        ({"cv": 1}, "'cv' parameter of domain_gap"),
        ({"level": 1.0}, "'level' parameter of domain_gap"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        domain_gap(**({"X_source": ROWS, "X_target": ROWS} | arguments))


def test_sparse_rows_are_encoded_by_what_is_not_fitted_yet():
    rows = sparse.random(80, 30, 0.3, format="csr", random_state=0)
    gap = domain_gap(rows[:40], rows[40:], encoder=TruncatedSVD(3, random_state=0))
    assert len(gap.drift) == 3
    with pytest.raises(ValueError, match=r"must have the same features\. Got 30 and 29 of them"):
        domain_gap(rows[:40], rows[40:, :29], encoder=TruncatedSVD(3))


@pytest.mark.parametrize("n", [-1, 2.5, None])
def test_number_of_features_is_checked(n):
    gap = domain_gap(ROWS[:200], ROWS[200:])
    assert gap.top(0) == []
    for call, name in ((gap.top, "top"), (lambda n: gap.plot(n=n), "plot")):
        with pytest.raises(ValueError, match=rf"The 'n' argument of {name} must be an int in the range .*Got {n}"):
            call(n)
