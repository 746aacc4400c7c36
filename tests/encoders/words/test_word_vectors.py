"""WordVectorEncoder: counted, factorised, pooled, queried."""

import pickle
import re
from collections import Counter
from dataclasses import replace

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import transferkit
from transferkit import TfidfEncoder, WordVectorEncoder
from transferkit._algorithms.linalg.decompositions import N_STEPS, SMALL
from transferkit._algorithms.text.vocabulary import decode_terms
from transferkit._algorithms.words.cooccurrence import relabel_pairs
from transferkit.encoders.words._counts import WordCounts
from transferkit.exceptions import DivergenceError

TEXTS = ["my cat drinks milk", "my dog drinks milk", "the cat eats fish", "the dog eats fish", "a bank sells gold"]


@pytest.fixture(scope="module")
def corpus(load_docstrings_once):
    return load_docstrings_once(["joblib", "scipy"]).data[:1500]


@pytest.fixture(params=["glove", "sgns"])
def trained(request):
    return WordVectorEncoder(20, method=request.param, max_iter=2, device="cpu")


@pytest.fixture(scope="module")
def fitted(corpus):
    return WordVectorEncoder(50).fit(corpus)


def count_plainly(texts, window, min_count):
    """Return vocabulary and symmetric counts, with Python loops."""
    documents = [re.findall(r"(?u)\b\w\w+\b", text.lower()) for text in texts]
    totals = Counter(word for document in documents for word in document)
    words = sorted((word for word in totals if totals[word] >= min_count), key=lambda word: (-totals[word], word))
    row = {word: k for k, word in enumerate(words)}
    counts = np.zeros((len(words), len(words)))
    for document in documents:
        for i, left in enumerate(document):
            for distance, right in enumerate(document[i + 1 : i + 1 + window], 1):
                if left in row and right in row:
                    counts[row[left], row[right]] += window + 1 - distance
                    counts[row[right], row[left]] += window + 1 - distance
    return row, counts


def test_vectors_are_those_of_a_plain_computation(corpus):
    texts = corpus[:200]
    row, counts = count_plainly(texts, window=3, min_count=2)
    shares = counts.sum(axis=1) ** 0.75
    with np.errstate(divide="ignore"):
        pmi = np.log(counts / counts.sum() / np.outer(shares, shares) * shares.sum() ** 2)
    values, vectors = np.linalg.eigh(np.maximum(pmi, 0))
    leading = np.argsort(-np.abs(values))[:20]
    expected = vectors[:, leading] * np.abs(values[leading]) ** 0.5
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    encoder = WordVectorEncoder(20, window=3, min_count=2).fit(texts)
    assert encoder.vocabulary_ == row
    np.testing.assert_allclose(encoder.vectors_ @ encoder.vectors_.T, expected @ expected.T, atol=2e-3)
    totals = np.array([sum(re.findall(r"(?u)\b\w\w+\b", t.lower()).count(w) for t in texts) for w in list(row)[:5]])
    np.testing.assert_allclose(encoder.frequency_[:5] / encoder.frequency_[0], totals / totals[0])
    idf = TfidfEncoder(vocabulary=list(row)).fit(texts).idf_
    np.testing.assert_allclose(encoder.idf_, idf, rtol=1e-6)


@pytest.mark.parametrize("n_batches", [2, 5])
def test_streamed_and_merged_vectors_are_those_of_one_fit(corpus, fitted, n_batches):
    streamed, merged = WordVectorEncoder(50), WordVectorEncoder(50)
    for k in range(n_batches):
        streamed.partial_fit(iter(corpus[k::n_batches]))
        if k:
            merged.merge(WordVectorEncoder(50).partial_fit(corpus[k::n_batches]))
        else:
            merged.partial_fit(corpus[k::n_batches])
    for encoder in (streamed, merged):
        assert encoder.n_documents_ == len(corpus)
        assert encoder.vocabulary_ == fitted.vocabulary_
        np.testing.assert_array_equal(encoder.vectors_, fitted.vectors_)
        np.testing.assert_array_equal(encoder.transform(corpus[:9]), fitted.transform(corpus[:9]))


def test_trained_vectors_begin_at_the_counted_ones_and_lower_the_objective(corpus, trained):
    counted = WordVectorEncoder(20).fit(corpus)
    assert counted.loss_curve_ == []
    assert trained.set_params(max_iter=5).fit(corpus).vocabulary_ == counted.vocabulary_
    assert len(trained.loss_curve_) == 5
    assert trained.loss_curve_[-1] < trained.loss_curve_[0]
    np.testing.assert_allclose(np.linalg.norm(trained.vectors_, axis=1), 1, atol=1e-5)
    agreement = (trained.vectors_ * counted.vectors_).sum(axis=1)
    assert 0.7 < np.median(agreement) < 0.999


def test_trained_vectors_are_the_same_for_a_seed(corpus, trained):
    first = trained.fit(corpus[:500]).vectors_.copy()
    np.testing.assert_array_equal(trained.fit(corpus[:500]).vectors_, first)
    other = trained.set_params(random_state=1).fit(corpus[:500]).vectors_
    assert np.array_equal(other, first) == (trained.method == "glove")  # which draws no negative samples


def test_counts_of_an_older_version_with_other_numbers_are_merged(corpus):
    parts = [corpus[:100], corpus[100:200], corpus[200:300]]
    mine, theirs = (WordVectorEncoder(8).partial_fit(part) for part in parts[:2])
    for encoder in (mine, theirs):  # as if the words had been numbered in the order of the texts
        counts = WordCounts.from_state(encoder._counts)
        met = np.random.RandomState(0).permutation(len(counts.ids)).astype(np.int32)
        pairs = tuple(relabel_pairs(part, met, len(met)) for part in counts.pairs)
        encoder._counts = replace(counts, ids=met, pairs=pairs).to_state()
    mine.merge(theirs).partial_fit(parts[2])
    expected = WordVectorEncoder(8).fit(corpus[:300])
    np.testing.assert_array_equal(mine.frequency_, expected.frequency_)
    np.testing.assert_allclose(mine.vectors_, expected.vectors_, atol=1e-4)


def test_trained_vectors_are_streamed_merged_and_continued(corpus, trained):
    whole = clone(trained).fit(corpus)
    streamed = clone(trained).partial_fit(corpus[:700]).partial_fit(corpus[700:])
    merged = clone(trained).fit(corpus[700:]).merge(clone(trained).fit(corpus[:700]))
    for encoder in (streamed, merged):
        np.testing.assert_array_equal(encoder.vectors_, whole.vectors_)
        assert encoder.loss_curve_ == whole.loss_curve_
    continued = clone(trained).fit(corpus[:700]).continue_fit(corpus[700:])
    cosines = continued.vectors_ @ continued.vectors_.T
    np.testing.assert_allclose(cosines, whole.vectors_ @ whole.vectors_.T, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "parameter", "value"),
    [("glove", "x_max", 1.0), ("sgns", "n_negative", 5), ("sgns", "learning_rate", 0.1), ("glove", "max_iter", 1)],
)
def test_parameters_of_training_reach_it(corpus, method, parameter, value):
    encoder = WordVectorEncoder(10, method=method, device="cpu").fit(corpus[:300])
    other = clone(encoder).set_params(**{parameter: value}).fit(corpus[:300])
    assert np.abs(other.vectors_ - encoder.vectors_).max() > 0.01


def test_unknown_methods_and_devices_are_named(corpus):
    with pytest.raises(ValueError, match=r"'method' parameter .* must be a str among .*'glove'.* Got 'cbow' instead"):
        WordVectorEncoder(method="cbow").fit(corpus)
    encoder = WordVectorEncoder(10, method="glove", device="cuda:99")
    with pytest.raises(ValueError, match="device='cuda:99' is not on this machine"):
        encoder.fit(corpus[:200])
    with pytest.raises(NotFittedError):
        encoder.transform(corpus[:1])


class Recorder:
    """Records the calls, and requests a stop after `stop_after` epochs."""

    def __init__(self, stop_after=None):
        self.stop_after, self.events, self.rows = stop_after, [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.events.append(f"end {context.task_name}")
        if fitted_estimator is not None:
            self.rows.append(fitted_estimator.transform(["an array of rows"]))
        return self.stop_after is not None and self.events.count("end epoch") >= self.stop_after


def test_every_epoch_is_a_task_with_a_usable_snapshot(corpus, trained):
    recorder = Recorder()
    encoder = trained.set_callbacks(recorder).fit(corpus[:300])
    assert recorder.events == ["setup", "begin fit", *["begin epoch", "end epoch"] * 2, "end fit", "teardown"]
    assert not np.allclose(recorder.rows[0], recorder.rows[1])
    np.testing.assert_allclose(recorder.rows[-1], encoder.transform(["an array of rows"]))


def test_request_to_stop_ends_the_training(corpus, trained):
    encoder = trained.set_params(max_iter=9).set_callbacks(Recorder(stop_after=2)).fit(corpus[:300])
    assert len(encoder.loss_curve_) == 2


def test_callbacks_hear_of_a_counted_fit_too(corpus):
    recorder = Recorder()
    encoder = WordVectorEncoder(10).set_callbacks(recorder).fit(corpus[:300])
    counting, iterations = ["begin counting", "end counting"], ["begin iteration", "end iteration"] * N_STEPS
    tasks = counting + iterations if len(encoder.vocabulary_) > SMALL else counting  # small ones are decomposed at once
    assert recorder.events == ["setup", "begin fit", *tasks, "end fit", "teardown"]


def test_iterations_of_a_large_decomposition_are_tasks():
    words = np.random.RandomState(0).randint(0, SMALL + 50, (2000, 8))
    recorder = Recorder()
    encoder = WordVectorEncoder(4, min_count=1).set_callbacks(recorder)
    encoder.fit([" ".join(f"word{i}" for i in row) for row in words])
    assert len(encoder.vocabulary_) > SMALL
    assert recorder.events.count("end iteration") == N_STEPS


@pytest.fixture(scope="module")
def spelled(corpus):
    return WordVectorEncoder(30, subword=True, max_features=1200).fit(corpus)


def test_spelling_tells_about_unseen_words(fitted, spelled):
    every, some = fitted.vocabulary_, spelled.vocabulary_
    unseen = [word for word in every if len(word) > 5 and word not in some][::5]
    old = [word for word in some if word in every]
    known = fitted.vectors_[[every[word] for word in old]]
    rotation = np.linalg.lstsq(spelled.vectors_[[some[word] for word in old]], known)[0]
    truth = fitted.vectors_[[every[word] for word in unseen]]
    guesses = np.array([spelled._look_up(word)[1][0] for word in unseen]) @ rotation
    guesses /= np.linalg.norm(guesses, axis=1, keepdims=True)
    by_chance = (guesses * np.roll(truth, 1, axis=0)).sum(axis=1).mean()
    assert (guesses * truth).sum(axis=1).mean() > by_chance + 0.1


def test_spelling_leaves_known_words_as_they_are(corpus, spelled):
    plain = WordVectorEncoder(30, max_features=1200).fit(corpus)
    np.testing.assert_array_equal(spelled.vectors_, plain.vectors_)
    known = ["an array of rows, rows", "columns", "   "]
    np.testing.assert_allclose(spelled.transform(known), plain.transform(known), atol=1e-6)
    assert spelled.most_similar("array") == plain.most_similar("array")


@pytest.mark.parametrize("pooling", ["mean", "tfidf", "sif", "max"])
def test_unseen_words_are_pooled_with_known_ones(spelled, pooling):
    encoder = pickle.loads(pickle.dumps(spelled)).set_params(pooling=pooling, norm=None)
    assert "reshapedarrays" not in encoder.vocabulary_
    rows = encoder.transform(["array zzqj", "array reshapedarrays reshapedarrays", "array", "reshapedarrays"])
    vectors = np.array([encoder._look_up("array")[1][0], *encoder._look_up("reshapedarrays")[1] * 2])
    row = encoder.vocabulary_["array"]
    weights = {
        "tfidf": [encoder.idf_[row], *[encoder.idf_.max()] * 2],
        "sif": [1e-3 / (1e-3 + encoder.frequency_[row]), 1, 1],
    }.get(pooling)
    expected = vectors.max(axis=0) if pooling == "max" else np.average(vectors, axis=0, weights=weights)
    if pooling == "sif":
        expected -= expected @ encoder._common * encoder._common
    np.testing.assert_allclose(rows[1], expected, atol=1e-6)
    assert rows[3].any()
    together = encoder.transform(["reshapedarrays"] * 2 + ["array"])
    np.testing.assert_allclose(together, rows[[3, 3, 2]], atol=1e-6)


def test_unseen_words_are_asked_about(spelled):
    assert spelled.similarity("arrays", "arrayss") > spelled.similarity("arrays", "documentation")
    names = [word for word, _ in spelled.most_similar("Arrayss", n=20)]
    assert "arrays" in names
    assert len(spelled.analogy("row", "rowss", "column", n=3)) == 3
    with pytest.raises(KeyError, match="The word '\u4e2d\u6587' is not in the vocabulary"):
        spelled.similarity("array", "\u4e2d\u6587")
    assert not spelled.transform(["\u4e2d\u6587"]).any()


def test_vectors_of_spelling_are_saved_and_follow_the_domain(corpus, spelled, tmp_path):
    transferkit.save(spelled, tmp_path / "encoder.tk")
    loaded, texts = transferkit.load(tmp_path / "encoder.tk"), ["an arrayish thing", "reshapedarrays"]
    np.testing.assert_array_equal(loaded.transform(texts), spelled.transform(texts))
    learned_on = clone(spelled).fit(corpus).continue_fit(corpus[:50])
    fresh = clone(spelled).fit(corpus + corpus[:50])
    cosines = [encoder.similarity("array", "reshapedarrays") for encoder in (learned_on, fresh)]
    assert cosines[0] == pytest.approx(cosines[1], abs=1e-3)


def test_spelling_parameters_are_checked(corpus):
    with pytest.raises(ValueError, match=r"'ngram_range' .* must be \(min_n, max_n\) .* Got \(4, 3\) instead"):
        WordVectorEncoder(subword=True, ngram_range=(4, 3)).fit(corpus)
    few = WordVectorEncoder(10, subword=True, n_buckets=50, ngram_range=(2, 3)).fit(corpus[:200])
    assert few._ngram_vectors.shape == (50, 10)


@pytest.mark.gpu
def test_gpu_gives_vectors_like_those_of_the_cpu(corpus):
    for method in ("ppmi-svd", "glove", "sgns"):
        cpu = WordVectorEncoder(20, method=method, device="cpu").fit(corpus)
        gpu = WordVectorEncoder(20, method=method, device="cuda").fit(corpus)
        cosines = cpu.vectors_ @ cpu.vectors_.T, gpu.vectors_ @ gpu.vectors_.T
        assert np.abs(cosines[0] - cosines[1]).mean() < 0.02
        np.testing.assert_array_equal(gpu.vectors_, clone(gpu).fit(corpus).vectors_)


def test_threads_change_the_vectors_by_rounding_at_most(corpus, fitted):
    np.testing.assert_allclose(WordVectorEncoder(50, n_jobs=3).fit(corpus).vectors_, fitted.vectors_, atol=1e-4)


def test_pruning_bounds_the_pairs_and_keeps_the_frequent_ones(corpus):
    encoder = WordVectorEncoder(50, max_pairs=20_000)
    for k in range(6):
        encoder.partial_fit(corpus[k::6])
        assert 10_000 <= sum(pairs.nnz for pairs in encoder._counts[2]) <= 20_000
    exact = WordVectorEncoder(50).fit(corpus)
    assert exact.pair_error_ == 0
    missing = WordCounts.from_state(exact._counts).all_pairs() - WordCounts.from_state(encoder._counts).all_pairs()
    assert 0 < missing.max() <= encoder.pair_error_ == pickle.loads(pickle.dumps(encoder)).pair_error_
    assert encoder.vocabulary_ == exact.vocabulary_
    words = list(exact.vocabulary_)[:200]
    overlap = [len({w for w, _ in encoder.most_similar(x)} & {w for w, _ in exact.most_similar(x)}) for x in words]
    assert np.mean(overlap) > 2  # of 10; chance would give 0.005


def test_errors_of_counts_add_up_and_multiply(corpus):
    bounded = {"max_pairs": 1000, "max_vocabulary": 200}
    mine, theirs = (WordVectorEncoder(8, **bounded).partial_fit(part) for part in (corpus[:50], corpus[50:100]))
    pair_errors, errors = zip(*((e.pair_error_, e.vocabulary_error_) for e in (mine, theirs)), strict=True)
    assert min(*pair_errors, *errors) > 0
    tripled = WordCounts.from_state(mine._counts).scaled(3)
    assert (tripled.pair_error, tripled.error) == (3 * pair_errors[0], 3 * errors[0])
    mine.merge(theirs)
    assert mine.pair_error_ >= sum(pair_errors)
    assert mine.vocabulary_error_ >= sum(errors)


@pytest.mark.parametrize("method", ["ppmi-svd", "glove", "sgns"])
@pytest.mark.parametrize("n_alone", [40, 1100])  # few words are decomposed densely, many in a Krylov space
def test_words_without_pairs_have_vectors_of_zeros(method, n_alone):
    rng = np.random.RandomState(0)
    sentences = [" ".join(f"word{k}" for k in rng.randint(0, 30, 8)) for _ in range(100)]
    titles = [f"title{k}" for k in range(n_alone)]
    encoder = WordVectorEncoder(20, method=method, min_count=1, max_iter=1, device="cpu")
    with pytest.warns(UserWarning, match=f"{n_alone} of {n_alone + 30} words have vectors of zeros"):
        encoder.fit(sentences + titles)
    lengths = np.linalg.norm(encoder.vectors_, axis=1)
    is_title = np.array([word.startswith("title") for word in encoder.vocabulary_])
    assert not lengths[is_title].any()
    np.testing.assert_allclose(lengths[~is_title], 1, atol=1e-5)
    assert encoder.similarity("title1", "title2") == 0


def test_words_beyond_the_leading_components_have_vectors_of_zeros():
    rng = np.random.RandomState(0)
    groups = [[f"{name}{k}" for k in range(size)] for name, size in [("large", 12), ("small", 3)]]
    texts = [" ".join(rng.permutation(group)) for group in groups for _ in range(20)]
    with pytest.warns(UserWarning, match="12 of 15 words have vectors of zeros.* beyond the n_components=1 leading"):
        encoder = WordVectorEncoder(1, min_count=1).fit(texts)
    is_zero = {word: length == 0 for word, length in zip(encoder.vocabulary_, encoder._lengths, strict=True)}
    assert is_zero == {word: word.startswith("large") for group in groups for word in group}


def test_texts_along_the_common_direction_have_rows_of_zeros(corpus):
    encoder = WordVectorEncoder(20, pooling="sif").fit(corpus[:300])
    for word in list(encoder.vocabulary_)[:20]:
        assert not encoder.adapt_idf([word]).transform([word, f"{word} {word}"]).any()
        assert encoder.transform([f"{word} array rows"]).any()


def test_weights_of_words_follow_their_parameter(corpus):
    encoder = WordVectorEncoder(10, pooling="sif", norm=None, sif_weight=0.01).fit(corpus)
    before = encoder.transform(corpus[:5])
    encoder.set_params(sif_weight=0.1)
    expected = pickle.loads(pickle.dumps(encoder)).transform(corpus[:5])
    np.testing.assert_array_equal(encoder.transform(corpus[:5]), expected)
    assert not np.allclose(expected, before)


def test_similar_words_are_near(fitted):
    assert {word for word, _ in fitted.most_similar("rows", n=5)} & {"columns", "column", "row"}
    (word, cosine), *_ = fitted.most_similar("array", n=3)
    assert word != "array"
    assert fitted.similarity("array", word) == pytest.approx(cosine, abs=1e-5)
    by_vector = fitted.most_similar(fitted.vectors_[fitted.vocabulary_["array"]], n=2)
    assert by_vector[0] == ("array", pytest.approx(1, abs=1e-5))
    assert by_vector[1][0] == word


@pytest.mark.parametrize("n", [-1, 2.5, None])
def test_number_of_similar_words_is_checked(fitted, n):
    assert fitted.most_similar("array", n=0) == []
    for name, words in (("most_similar", ["array"]), ("analogy", ["row", "rows", "column"])):
        with pytest.raises(ValueError, match=rf"The 'n' argument of {name} must be an int in the range .*Got {n}"):
            getattr(fitted, name)(*words, n=n)


def test_analogy_is_vector_arithmetic_without_its_question(fitted):
    question = ["row", "rows", "column"]
    a, b, c = (fitted.vectors_[fitted.vocabulary_[word]] for word in question)
    cosines = fitted.vectors_ @ (b - a + c) / np.linalg.norm(b - a + c)
    names = list(fitted.vocabulary_)
    expected = [names[k] for k in np.argsort(-cosines) if names[k] not in question][:4]
    assert [word for word, _ in fitted.analogy(*question, n=4)] == expected


def test_more_neighbours_than_words_are_all_words():
    encoder = WordVectorEncoder(4, min_count=1).fit(TEXTS)
    assert len(encoder.most_similar("cat", n=99)) == len(encoder.vocabulary_) - 1


def test_first_of_equally_near_words_are_returned(tmp_path):
    path = tmp_path / "vectors"
    path.write_text("".join(f"w{k} {1 + k % 2} {2 * (k % 2)}\n" for k in range(200)))  # two directions
    encoder = WordVectorEncoder.from_file(path)
    assert [word for word, _ in encoder.most_similar("w199", n=5)] == ["w1", "w3", "w5", "w7", "w9"]
    assert [word for word, _ in encoder.most_similar("w0", n=101)] == [f"w{k}" for k in [*range(2, 200, 2), 1, 3]]
    assert encoder.most_similar("w0", n=0) == []


def test_unknown_words_are_named_in_queries(fitted):
    for ask in (lambda: fitted.most_similar("zzz"), lambda: fitted.similarity("array", "zzz")):
        with pytest.raises(KeyError, match="The word 'zzz' is not in the vocabulary"):
            ask()


@pytest.mark.parametrize("pooling", ["mean", "tfidf", "sif", "max", "mean+max"])
def test_rows_are_pooled_as_their_name_says(corpus, pooling):
    encoder = WordVectorEncoder(10, pooling=pooling, norm=None, sif_weight=0.01).fit(corpus)
    texts = ["an array of rows, rows", "zzz", "columns"]
    rows = encoder.transform(texts)
    vectors, vocabulary = encoder.vectors_, encoder.vocabulary_
    for text, row in zip(texts, rows, strict=True):
        known = [vocabulary[word] for word in re.findall(r"\w\w+", text) if word in vocabulary]
        if not known:
            assert not row.any()
            continue
        weights = {"tfidf": encoder.idf_[known], "sif": 0.01 / (0.01 + encoder.frequency_[known])}.get(pooling)
        mean, largest = np.average(vectors[known], axis=0, weights=weights), vectors[known].max(axis=0)
        if pooling == "sif":
            mean -= mean @ encoder._common * encoder._common
        expected = {"max": largest, "mean+max": np.concatenate([mean, largest])}.get(pooling, mean)
        np.testing.assert_allclose(row, expected, atol=1e-6)
    assert len(encoder.get_feature_names_out()) == rows.shape[1] == (20 if pooling == "mean+max" else 10)
    lengths = np.linalg.norm(encoder.set_params(norm="l2").transform(texts), axis=1)
    np.testing.assert_allclose(lengths, np.sqrt([2, 0, 2]) if pooling == "mean+max" else [1, 0, 1], atol=1e-5)


def test_sif_removes_what_texts_have_in_common(corpus):
    encoder = WordVectorEncoder(50, pooling="sif", norm=None).fit(corpus)
    plain = encoder.set_params(pooling="mean").transform(corpus)
    rows = encoder.set_params(pooling="sif").transform(corpus)
    assert np.linalg.norm(rows.mean(axis=0)) < 0.5 * np.linalg.norm(plain.mean(axis=0))
    adapted = encoder.adapt_idf(corpus).transform(corpus)
    assert np.linalg.norm(adapted.mean(axis=0)) < 0.5 * np.linalg.norm(plain.mean(axis=0))


def test_adapting_the_idf_leaves_the_vectors(corpus):
    encoder = WordVectorEncoder(20).fit(corpus)
    vectors, task = encoder.vectors_.copy(), corpus[:100]
    assert encoder.adapt_idf(task) is encoder
    np.testing.assert_array_equal(encoder.vectors_, vectors)
    expected = TfidfEncoder(vocabulary=list(encoder.vocabulary_)).fit(task)
    np.testing.assert_allclose(encoder.idf_, expected.idf_, rtol=1e-6)
    assert encoder.frequency_.sum() == pytest.approx(1)
    assert np.isfinite(encoder.transform(corpus)).all()


@pytest.mark.parametrize("weight", [1, 3])
def test_continuing_is_fitting_on_all_texts_in_the_old_coordinates(corpus, weight):
    general, domain = corpus[:1000], corpus[1000:]
    encoder = WordVectorEncoder(30).fit(general)
    old = {word: encoder.vectors_[row] for word, row in encoder.vocabulary_.items()}
    assert encoder.continue_fit(domain, weight=weight) is encoder
    fresh = WordVectorEncoder(30).fit(general + domain * weight)
    assert encoder.vocabulary_ == fresh.vocabulary_
    assert len(encoder.vocabulary_) > len(old)
    assert encoder.n_documents_ == fresh.n_documents_ == 1000 + weight * len(domain)
    np.testing.assert_allclose(encoder.idf_, fresh.idf_)
    np.testing.assert_allclose(encoder.vectors_ @ encoder.vectors_.T, fresh.vectors_ @ fresh.vectors_.T, atol=1e-4)
    np.testing.assert_allclose(
        encoder.transform(domain) @ encoder._common, fresh.transform(domain) @ fresh._common, atol=1e-4
    )

    place = encoder.vocabulary_

    def agreement(vectors):
        return np.mean([vectors[place[word]] @ old[word] for word in old])

    assert agreement(encoder.vectors_) > max(0.7, agreement(fresh.vectors_) + 0.05)


def test_continuing_needs_counts_and_a_weight(fitted, corpus):
    with pytest.raises(ValueError, match=r"The 'weight' of continue_fit must be an int of at least 1\. Got 0\.5"):
        fitted.continue_fit(corpus, weight=0.5)
    with pytest.raises(ValueError, match="counts texts 2 times, but this WordVectorEncoder holds no counts"):
        pickle.loads(pickle.dumps(fitted)).continue_fit(corpus, weight=2)


@pytest.mark.parametrize("quantised", [False, True])
def test_vectors_without_counts_get_further_components(quantised, corpus, tmp_path):
    known = WordVectorEncoder(30, min_count=2).fit(corpus[:300])
    known = known.quantise() if quantised else pickle.loads(pickle.dumps(known))
    old, frequency, idf = known.vectors_.copy(), known.frequency_, known.idf_
    words, texts = list(known.vocabulary_), corpus[300:700]
    assert known.continue_fit(texts) is known
    n, own = len(words), WordVectorEncoder(100, min_count=2).fit(texts)
    place, own_place = known.vocabulary_, own.vocabulary_
    assert list(place)[:n] == words
    assert set(place) == {*words, *own_place}
    assert known.get_params()["n_components"] == known.vectors_.shape[1] == 130
    np.testing.assert_array_equal(known.vectors_[:n, :30], old)
    assert not known.vectors_[n:, :30].any()
    new = known.vectors_[[place[word] for word in own_place], 30:]
    scale = np.linalg.norm(new[0]) / np.linalg.norm(own.vectors_[0])
    np.testing.assert_allclose(new, scale * own.vectors_, rtol=1e-4, atol=1e-6)
    shared = [row for word, row in place.items() if row < n and word in own_place]
    squares = [np.mean(part**2) for part in np.split(known.vectors_[shared], [30], axis=1)]
    assert squares[0] == pytest.approx(squares[1], rel=1e-3)  # per component
    np.testing.assert_array_equal(known.idf_[:n], idf)
    assert (known.idf_[n:] == idf.max()).all()
    np.testing.assert_allclose(known.frequency_[:n] / known.frequency_[0], frequency / frequency[0])
    assert known.frequency_.sum() == pytest.approx(1)
    transferkit.save(known, tmp_path / "continued.tk")
    loaded = transferkit.load(tmp_path / "continued.tk")
    np.testing.assert_array_equal(loaded.transform(texts[:9]), known.transform(texts[:9]))


def test_quantised_encoder_is_small_and_stays_so(fitted, corpus, tmp_path):
    quantised = fitted.quantise()
    np.testing.assert_allclose(quantised.vectors_, fitted.vectors_, atol=np.abs(fitted.vectors_).max(0).max() / 250)
    for encoder, name in ((fitted, "plain.tk"), (quantised, "small.tk")):
        transferkit.save(encoder, tmp_path / name)
    loaded = transferkit.load(tmp_path / "small.tk")
    transferkit.save(loaded, tmp_path / "again.tk")
    sizes = [(tmp_path / name).stat().st_size for name in ("plain.tk", "small.tk", "again.tk")]
    n_saved = 3 * fitted.vectors_.size  # bytes
    assert sizes[0] - sizes[1] > 0.95 * n_saved
    assert abs(sizes[1] - sizes[2]) < 100
    assert len(pickle.dumps(fitted)) - len(pickle.dumps(quantised)) > 0.95 * n_saved
    for other in (loaded, pickle.loads(pickle.dumps(quantised)), transferkit.load(tmp_path / "again.tk")):
        np.testing.assert_array_equal(other.transform(corpus[:20]), quantised.transform(corpus[:20]))
        assert other.most_similar("array", 3) == quantised.most_similar("array", 3)


def test_vectors_that_are_trained_again_are_not_rounded(corpus):
    encoder = WordVectorEncoder(20).fit(corpus).quantise()
    with pytest.raises(ValueError, match="holds no counts"):
        encoder.partial_fit(corpus)
    expected = WordVectorEncoder(20).fit(corpus[:500])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder.fit(corpus[:500]))).vectors_, expected.vectors_)


def test_texts_without_known_words_can_be_adapted_to(fitted):
    encoder = pickle.loads(pickle.dumps(fitted)).set_params(pooling="sif")
    with pytest.warns(UserWarning, match="No text of this batch holds a term that the WordVectorEncoder knows"):
        encoder.adapt_idf(["zzz", "yyy", "xxx"])
    assert not encoder.frequency_.any()
    rows, plain = encoder.transform(["array"]), encoder.set_params(pooling="mean").transform(["array"])
    np.testing.assert_allclose(rows, plain, atol=1e-6)


def test_text_parameters_reach_the_words():
    encoder = WordVectorEncoder(3, min_count=1, stop_words=["my"], stemmer=lambda word: word[:3]).fit(TEXTS)
    assert "dri" in encoder.vocabulary_
    assert "my" not in encoder.vocabulary_
    cased = WordVectorEncoder(3, min_count=1, lowercase=False, token_pattern=r"\w+").fit(["A b", "A c", "a b"])
    assert set(cased.vocabulary_) == {"A", "a", "b", "c"}
    assert cased.most_similar("A", n=1)[0][0] in {"a", "b", "c"}
    few = WordVectorEncoder(3, min_count=1, max_features=2).fit(["x1 x2 x2 x3 x3 x3"])
    assert list(few.vocabulary_) == ["x3", "x2"]


def test_no_word_frequent_enough_is_named():
    with pytest.raises(ValueError, match="No word occurs min_count=9 times"):
        WordVectorEncoder(3, min_count=9).fit(TEXTS)
    streamed = WordVectorEncoder(3, min_count=4).partial_fit(["the cat"])
    with pytest.raises(ValueError, match="No word occurs min_count=4 times"):
        streamed.transform(["the cat"])
    assert streamed.partial_fit(["the cat"] * 3).transform(["the cat"]).any()


def test_failed_batch_changes_nothing(corpus):
    encoder = WordVectorEncoder(10).partial_fit(corpus[:300])
    before = encoder.vectors_.copy()
    with pytest.raises(ValueError, match="position 1 is missing"):
        encoder.partial_fit(["fine", None])
    np.testing.assert_array_equal(encoder.vectors_, before)
    assert encoder.n_documents_ == 300


def test_encoders_with_other_parameters_are_not_merged(corpus):
    mine, theirs = WordVectorEncoder(5).fit(corpus[:200]), WordVectorEncoder(5, window=2).fit(corpus[:200])
    with pytest.raises(ValueError, match=r"These differ: \['window'\]"):
        mine.merge(theirs)
    with pytest.raises(TypeError, match=r"Only another WordVectorEncoder can be merged\. Got TfidfEncoder"):
        mine.merge(TfidfEncoder())


@pytest.mark.parametrize("way", ["pickle", "joblib", "tk"])
def test_saved_encoder_gives_the_same_rows(corpus, tmp_path, way, fitted):
    path = tmp_path / f"encoder.{way}"
    if way == "tk":
        transferkit.save(fitted, path)
        loaded = transferkit.load(path)
    elif way == "joblib":
        joblib.dump(fitted, path)
        loaded = joblib.load(path)
    else:
        loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.transform(corpus), fitted.transform(corpus))
    assert loaded.most_similar("array") == fitted.most_similar("array")
    assert loaded.vocabulary_ == fitted.vocabulary_
    with pytest.raises(ValueError, match="holds no counts, so it cannot be fitted further"):
        loaded.partial_fit(TEXTS)


def test_streamed_encoder_learns_on_after_loading(corpus, fitted, tmp_path):
    path = tmp_path / "encoder.tk"
    transferkit.save(WordVectorEncoder(50).partial_fit(corpus[::2]), path)
    encoder = transferkit.load(path).partial_fit(corpus[1::2])
    np.testing.assert_array_equal(encoder.vectors_, fitted.vectors_)


def test_pickle_leaves_the_counts_out(fitted):
    n_bytes = sum(array.nbytes for array in (fitted.vectors_, fitted.idf_, fitted.frequency_))
    assert len(pickle.dumps(fitted)) < n_bytes + 80 * len(fitted.vocabulary_) + 5000


def test_encoding_needs_no_torch(corpus, tmp_path, run_without_torch):
    transferkit.save(WordVectorEncoder(5).fit(corpus[:300]), tmp_path / "encoder.tk")
    code = "import transferkit; print(transferkit.load(sys.argv[1]).transform(['an array']).shape)"
    assert run_without_torch(code, tmp_path / "encoder.tk").strip() == "(1, 5)"


def test_bound_on_the_vocabulary_keeps_its_promise(load_docstrings_once):
    texts = load_docstrings_once(["joblib", "scipy"]).data[:2000]
    exact = WordVectorEncoder(8, min_count=1).fit(texts)
    same = WordVectorEncoder(8, min_count=1, max_vocabulary=len(exact.vocabulary_)).fit(texts)
    np.testing.assert_array_equal(same.vectors_, exact.vectors_)
    assert same.vocabulary_error_ == 0
    bounded = WordVectorEncoder(8, min_count=1, max_vocabulary=2000)
    for begin in range(0, len(texts), 200):
        bounded.partial_fit(texts[begin : begin + 200])
    bounded.merge(WordVectorEncoder(8, min_count=1, max_vocabulary=2000).partial_fit(texts[:100]))
    true = counted_words(WordVectorEncoder(8, min_count=1).partial_fit(texts + texts[:100]))
    found, error = counted_words(bounded), bounded.vocabulary_error_
    assert error > 0
    assert len(found) <= 2000 < len(true)
    assert all(true[word] - error <= count <= true[word] for word, count in found.items())
    assert max(count for word, count in true.items() if word not in found) <= error
    assert pickle.loads(pickle.dumps(bounded)).vocabulary_error_ == error
    plain = WordVectorEncoder(8, max_vocabulary=2000).fit(texts)
    assert pickle.loads(pickle.dumps(plain)).vocabulary_error_ == plain.vocabulary_error_ > 0


def counted_words(encoder):
    terms = WordCounts.from_state(encoder._counts).terms
    words = decode_terms(terms[4], terms[5], terms[6])
    return dict(zip(words, terms[3].tolist(), strict=True))


@pytest.mark.parametrize("method", ["glove", "sgns"])
def test_vectors_that_explode_are_not_returned(method):
    encoder = WordVectorEncoder(3, method=method, min_count=1, max_iter=3, learning_rate=1e20)
    with pytest.raises(DivergenceError, match=r"in epoch 3: .*Try a smaller learning_rate \(such as 1e\+19\)"):
        encoder.fit(["red cat sat", "blue dog ran", "red fox ran", "a blue fox"] * 8)
    assert not [name for name in vars(encoder) if name.endswith("_")]
