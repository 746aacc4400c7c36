"""SentenceEncoder encodes texts by a given model, loads it at its first use, and only trusted ones from files."""

import json
import pickle
import sys
import types

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from transferkit import LogisticHead, PretrainedEncoder, SentenceEncoder, TransferClassifier, load, save
from transferkit.encoders.networks import _sentence
from transferkit.exceptions import MissingExtraError, ModelFileError

WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "mat", "stock", "bond", "rose", "fell", "in", "market"]
TEXTS = [
    "the cat sat on the mat",
    "a dog ran",
    "the dog sat",
    "a stock rose",
    "the bond fell in the market",
    "a bond rose",
]
LABELS = ["pet", "pet", "pet", "money", "money", "money"]


class Counts:
    """Counts words, and records its calls."""

    def __init__(self):
        self.calls = []

    def encode(self, texts, **options):
        self.calls.append((list(texts), options))
        return [[text.split().count(word) for word in WORDS] for text in texts]


class FakeSentenceTransformer(Counts):
    """The part of SentenceTransformer that SentenceEncoder uses."""

    n_loaded = 0

    def __init__(self, name="", device=None):
        super().__init__()
        type(self).n_loaded += 1
        self.name, self.device, self.max_seq_length = name, device, 9

    def encode(self, texts, **options):
        return super().encode(texts, max_seq_length=self.max_seq_length, **options)


FakeSentenceTransformer.__module__ = "sentence_transformers.fake"


class FakeStaticModel(Counts):
    @classmethod
    def from_pretrained(cls, name, **options):
        model = cls()
        model.name, model.options = name, options
        return model


FakeStaticModel.__module__ = "model2vec.fake"


@pytest.fixture
def fake_packages(monkeypatch):
    """Replace both packages by fakes; return the set of installed ones, from which either can be removed."""
    monkeypatch.setattr(_sentence, "_loaded", type(_sentence._loaded)())
    FakeSentenceTransformer.n_loaded = 0
    for name, cls in {"sentence_transformers": FakeSentenceTransformer, "model2vec": FakeStaticModel}.items():
        module = types.ModuleType(name)
        setattr(module, {"model2vec": "StaticModel"}.get(name, "SentenceTransformer"), cls)
        monkeypatch.setitem(sys.modules, name, module)
    installed = {"sentence_transformers", "model2vec"}
    monkeypatch.setattr(_sentence, "_is_installed", installed.__contains__)
    return installed


def test_rows_are_those_of_the_model():
    expected = np.array(Counts().encode(TEXTS), np.float32)
    rows = SentenceEncoder(Counts(), normalize=False).transform(TEXTS)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, expected)
    unit = SentenceEncoder(Counts()).transform([*TEXTS, "unheard"])
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), [1] * len(TEXTS) + [0], atol=1e-6)
    names = SentenceEncoder(Counts()).get_feature_names_out()
    assert [names[0], len(names)] == ["sentenceencoder0", len(WORDS)]


def test_model_is_loaded_once_when_it_is_needed(fake_packages):
    encoder = SentenceEncoder("some/name", batch_size=2).fit(TEXTS)
    twins = [clone(encoder), pickle.loads(pickle.dumps(encoder))]
    assert FakeSentenceTransformer.n_loaded == 0
    for twin in (encoder, *twins):
        twin.transform(TEXTS)
        assert twin._load() is encoder._load()
    assert FakeSentenceTransformer.n_loaded == 1
    assert encoder._load().name == "some/name"
    assert encoder._load().calls[0][1] == {"batch_size": 2, "device": None, "max_seq_length": 9}
    assert SentenceEncoder("some/name", device="cuda:1")._load().device == "cuda:1"
    for number in range(6):
        SentenceEncoder(f"other/{number}")._load()
    assert len(_sentence._loaded) == 4


def test_model_object_stays_the_same_through_clone():
    model = Counts()
    encoder = SentenceEncoder(model)
    assert clone(encoder).model is model
    assert clone(PretrainedEncoder(encoder)).source.model is model


def test_length_is_set_for_the_call_alone():
    model = FakeSentenceTransformer()
    SentenceEncoder(model, max_length=3, device="cpu").transform(TEXTS)
    assert model.calls[0][1] == {"batch_size": 32, "device": "cpu", "max_seq_length": 3}
    assert model.max_seq_length == 9
    static = FakeStaticModel()
    SentenceEncoder(static, max_length=3).transform(TEXTS)
    assert static.calls[0][1] == {"batch_size": 32, "use_multiprocessing": False, "max_length": 3}


def write_model(folder, modules, config, vectors_in="."):
    """Write the files of a model by which its package is chosen."""
    (folder / vectors_in).mkdir(parents=True)
    (folder / "tokenizer.json").write_text("{}")
    (folder / vectors_in / "model.safetensors").write_bytes(b"")
    if modules is not None:
        names = [f"sentence_transformers.models.{name}" for name in modules]
        described = [{"type": name, "path": vectors_in} for name in names]
        (folder / "modules.json").write_text(json.dumps(described))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


MODEL2VEC = {"model_type": "model2vec"}
INT8 = {"embedding_dtype": "int8"}


@pytest.mark.parametrize(
    ("modules", "config", "vectors_in", "is_static", "options"),
    [
        (None, MODEL2VEC, ".", True, {}),
        (None, {"max_length": 512}, ".", True, {}),
        ([], MODEL2VEC, ".", True, {}),
        (["StaticEmbedding"], MODEL2VEC, ".", True, {}),
        (["StaticEmbedding"], {"max_length": 512}, ".", True, {}),
        (["StaticEmbedding"], INT8, ".", True, {}),
        (["StaticEmbedding", "Normalize"], MODEL2VEC, ".", True, {"normalize": True}),
        (["StaticEmbedding.StaticEmbedding"], None, "0_StaticEmbedding", True, {}),
        (["StaticEmbedding"], None, "elsewhere", False, {}),
        (["StaticEmbedding", "Dense"], MODEL2VEC, ".", False, {}),
        (["Transformer", "Pooling"], {"model_type": "bert"}, ".", False, {}),
        (None, {"model_type": "bert"}, ".", False, {}),
        (None, {"architectures": ["BertModel"]}, ".", False, {}),
        (None, None, ".", False, {}),
    ],
)
def test_static_models_are_loaded_by_model2vec_whatever_else_is_installed(
    fake_packages, tmp_path, modules, config, vectors_in, is_static, options
):
    folder = write_model(tmp_path / "model", modules, config, vectors_in)
    for packages in ({"model2vec", "sentence_transformers"}, {"model2vec"}):
        fake_packages.clear()
        fake_packages.update(packages)
        _sentence._loaded.clear()
        if is_static:
            model = SentenceEncoder(folder)._load()
            assert isinstance(model, FakeStaticModel)
            assert model.options == options
        elif "sentence_transformers" in packages:
            assert isinstance(SentenceEncoder(folder)._load(), FakeSentenceTransformer)
        else:
            with pytest.raises(MissingExtraError, match="model' needs an optional dependency"):
                SentenceEncoder(folder)._load()


def test_other_package_loads_a_static_model_with_a_warning(fake_packages, tmp_path):
    fake_packages.remove("model2vec")
    static = write_model(tmp_path / "static", ["StaticEmbedding"], MODEL2VEC)
    with pytest.warns(UserWarning, match="'.*static' is loaded by sentence-transformers, .* Install it: pip") as caught:
        SentenceEncoder(static).transform(TEXTS)
    assert caught[0].filename == __file__
    for number, (modules, config) in enumerate([(None, MODEL2VEC), (["StaticEmbedding"], INT8)]):
        folder = write_model(tmp_path / str(number), modules, config)
        with pytest.raises(MissingExtraError, match="needs an optional dependency"):
            SentenceEncoder(folder).transform(TEXTS)
    transformer = write_model(tmp_path / "bert", ["Transformer", "Pooling"], {"model_type": "bert"})
    SentenceEncoder(transformer).transform(TEXTS)


def test_package_for_a_name_on_the_hub_is_chosen_by_its_files(fake_packages, monkeypatch, tmp_path):
    files = {
        "some/static": write_model(tmp_path / "static", ["StaticEmbedding"], MODEL2VEC),
        "some/bert": write_model(tmp_path / "bert", ["Transformer", "Pooling"], {"model_type": "bert"}),
    }

    def download(name, file):
        if not (files[name] / file).is_file():  # a KeyError for a name that is unknown
            raise OSError(file)
        return str(files[name] / file)

    hub = types.ModuleType("huggingface_hub")
    hub.hf_hub_download = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    fake_packages.add("huggingface_hub")
    assert isinstance(SentenceEncoder("some/static")._load(), FakeStaticModel)
    assert isinstance(SentenceEncoder("some/bert")._load(), FakeSentenceTransformer)
    assert isinstance(SentenceEncoder("some/unknown")._load(), FakeSentenceTransformer)
    fake_packages.remove("sentence_transformers")
    assert isinstance(SentenceEncoder("minishlab/some")._load(), FakeStaticModel)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.json", "["),
        ("modules.json", "{}"),
        ("modules.json", "[1]"),
        ("config.json", "{"),
        ("config.json", "7"),
    ],
)
def test_damaged_files_of_a_model_are_named(fake_packages, tmp_path, file, content):
    folder = write_model(tmp_path / "model", None, MODEL2VEC)
    (folder / file).write_text(content)
    with pytest.raises(ValueError, match=f"The file '.*{file}' of a sentence model is damaged"):
        SentenceEncoder(folder).transform(TEXTS)


def test_missing_package_is_named(fake_packages):
    fake_packages.clear()
    encoder = SentenceEncoder("some/name").fit(TEXTS)
    with pytest.raises(MissingExtraError, match=r"'some/name' needs .* pip install 'transferkit\[sentence\]'"):
        encoder.transform(TEXTS)


def test_it_stands_in_pipeline_search_and_transfer():
    model = Counts()
    search = GridSearchCV(
        make_pipeline(SentenceEncoder(model), LogisticHead()), {"sentenceencoder__normalize": [True, False]}, cv=2
    )
    assert search.fit(TEXTS, LABELS).predict(["the cat"]) == ["pet"]
    classifier = TransferClassifier(SentenceEncoder(model), strategy="frozen", cv=2).fit(TEXTS, LABELS)
    n_calls = len(model.calls)
    assert classifier.predict([TEXTS[0], TEXTS[3]]).tolist() == ["pet", "money"]
    assert len(model.calls) == n_calls  # those were encoded before


def test_progress_is_reported(capsys):
    model = Counts()
    encoder = SentenceEncoder(model, batch_size=1).set_callbacks(ProgressBar())
    rows = encoder.fit_transform(TEXTS)
    assert "SentenceEncoder" in capsys.readouterr().out
    assert [len(texts) for texts, _ in model.calls] == [4, 2]
    np.testing.assert_array_equal(rows, SentenceEncoder(Counts()).transform(TEXTS))


def test_file_holds_the_name_and_opens_nothing_that_the_caller_does_not_name(fake_packages, tmp_path):
    path = tmp_path / "model.tk"
    model = TransferClassifier(SentenceEncoder("some/name"), strategy="frozen", cv=2).fit(TEXTS, LABELS)
    save(model, path)
    _sentence._loaded.clear()
    with pytest.raises(ModelFileError, match=r"uses the sentence model 'some/name'.* name it: trusted=\['some/name'\]"):
        load(path)
    with pytest.raises(ModelFileError, match="some/name"):
        load(path, trusted=["other/name"])
    loaded = load(path, trusted=["some/name"])
    assert len(_sentence._loaded) == 0  # not even then before it is used
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS))
    encoder = SentenceEncoder(tmp_path)
    save(encoder, path)
    assert load(path, trusted=[str(tmp_path)]).model == str(tmp_path)


def test_object_cannot_be_saved_but_pickled(tmp_path):
    with pytest.raises(ModelFileError, match=r"an object \(a Counts\) cannot be saved.*SentenceEncoder\(folder\)"):
        save(SentenceEncoder(Counts()), tmp_path / "model.tk")
    twin = pickle.loads(pickle.dumps(SentenceEncoder(Counts())))
    np.testing.assert_array_equal(twin.transform(TEXTS), SentenceEncoder(Counts()).transform(TEXTS))


@pytest.mark.parametrize(
    ("encoder", "X", "error", "message"),
    [
        (SentenceEncoder(7), TEXTS, ValueError, "'model' parameter of SentenceEncoder must be"),
        (SentenceEncoder(Counts(), batch_size=0), TEXTS, ValueError, "'batch_size' parameter of SentenceEncoder"),
        (SentenceEncoder(Counts(), max_length=0), TEXTS, ValueError, "'max_length' parameter of SentenceEncoder"),
        (SentenceEncoder(Counts(), max_length=5), TEXTS, ValueError, "cannot set max_length of a Counts"),
        (SentenceEncoder("./nowhere"), TEXTS, ValueError, "There is no folder './nowhere'"),
        (SentenceEncoder(Counts()), ["a", None], ValueError, "position 1 is missing"),
        (SentenceEncoder(Counts()), "a bare string", ValueError, "one bare str"),
        (SentenceEncoder(types.SimpleNamespace(encode=len)), TEXTS, ValueError, r"shape \(\) for 6 texts"),
    ],
)
def test_bad_input_is_named(encoder, X, error, message):
    with pytest.raises(error, match=message):
        encoder.transform(X)


def make_tokenizer():
    tokenizers = pytest.importorskip("tokenizers")
    tokens = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(tokens, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return tokenizer, len(tokens)


@pytest.mark.filterwarnings("ignore")
def test_model2vec_model(tmp_path):
    model2vec = pytest.importorskip("model2vec")
    tokenizer, n_tokens = make_tokenizer()
    vectors = np.random.default_rng(0).normal(size=(n_tokens, 6)).astype(np.float32)
    model = model2vec.StaticModel(vectors, tokenizer, normalize=False)
    rows = SentenceEncoder(model, normalize=False).transform(TEXTS)
    np.testing.assert_allclose(rows[1], vectors[[6, 8, 10]].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(
        SentenceEncoder(model, normalize=False, max_length=2).transform(TEXTS)[1],
        vectors[[6, 8]].mean(axis=0),
        atol=1e-6,
    )
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(SentenceEncoder(model))).transform(TEXTS), SentenceEncoder(model).transform(TEXTS)
    )
    model.save_pretrained(tmp_path / "static")
    by_name = SentenceEncoder(tmp_path / "static", normalize=False)
    np.testing.assert_allclose(by_name.transform(TEXTS), rows, atol=1e-6)
    unknown = ["unheard words and the cat", "unheard"]
    np.testing.assert_allclose(by_name.transform(unknown), [vectors[[5, 7]].mean(axis=0), [0] * 6], atol=1e-6)
    quantized = model2vec.StaticModel.from_pretrained(tmp_path / "static", quantize_to="int8")
    quantized.save_pretrained(tmp_path / "int8")
    np.testing.assert_array_equal(
        SentenceEncoder(tmp_path / "int8").transform(TEXTS), SentenceEncoder(quantized).transform(TEXTS)
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["static", "bert"])
def test_sentence_transformers_model(kind, tmp_path):
    package = pytest.importorskip("sentence_transformers")
    tokenizer, n_tokens = make_tokenizer()
    if kind == "static":
        modules = [package.sentence_transformer.modules.StaticEmbedding(tokenizer, embedding_dim=6)]
    else:
        transformers = pytest.importorskip("transformers")
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = transformers.BertConfig(vocab_size=n_tokens, max_position_embeddings=32, **sizes)
        transformers.BertModel(config).save_pretrained(tmp_path / "bert")
        special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special, mask_token="[MASK]")
        fast.save_pretrained(tmp_path / "bert")
        words = package.sentence_transformer.modules.Transformer(str(tmp_path / "bert"))
        modules = [words, package.sentence_transformer.modules.Pooling(8)]
    model = package.SentenceTransformer(modules=modules, device="cpu")
    expected = model.encode(TEXTS)
    rows = SentenceEncoder(model, batch_size=2, normalize=False).transform(TEXTS)
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    unit = SentenceEncoder(model).transform(TEXTS)
    np.testing.assert_allclose(unit, model.encode(TEXTS, normalize_embeddings=True), atol=1e-5)
    model.save(str(tmp_path / "model"))
    by_name = SentenceEncoder(str(tmp_path / "model"), device="cpu", normalize=False)
    np.testing.assert_allclose(by_name.transform(TEXTS), rows, atol=1e-5)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(by_name)).transform(TEXTS), rows, atol=1e-5)
    cut = SentenceEncoder(model, normalize=False, max_length=3)
    if kind == "static":
        with pytest.raises(ValueError, match="cannot truncate texts to max_length"):
            cut.transform(TEXTS)
        return
    before = model.max_seq_length
    np.testing.assert_allclose(cut.transform([TEXTS[0]]), cut.transform([TEXTS[0] + " fell"]), atol=1e-5)
    assert model.max_seq_length == before
    accuracy = TransferClassifier(by_name, strategy="frozen", cv=2).fit(TEXTS, LABELS).score(TEXTS, LABELS)
    assert accuracy > 0.5
