"""TorchEncoder returns the features of any torch module without changing it, and can be fine-tuned."""

import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from transferkit import LogisticHead, PretrainedEncoder, TorchEncoder, TransferClassifier, describe, load, save
from transferkit._algorithms.networks.layers import Linear
from transferkit._training.modules.features import ModuleLayer
from transferkit._training.modules.state import LAYERS
from transferkit._training.network.data import Examples
from transferkit._training.network.training import TrainingOptions, train_network
from transferkit.exceptions import ModelFileError
from transferkit.persistence import _container

DIGITS = (load_digits().data[:400] / 16).astype(np.float32)
LABELS = load_digits().target[:400]


class Block(nn.Module):
    """A residual block with a class and a function among its attributes."""

    def __init__(self, n_channels, activation=nn.functional.relu):
        super().__init__()
        self.conv = nn.Conv2d(n_channels, n_channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(n_channels)
        self.norm_class = nn.BatchNorm2d
        self.activation = activation

    def forward(self, x):
        return self.activation(x + self.norm(self.conv(x)))


class Net(nn.Module):
    def __init__(self, n_channels, n_outputs, *, returns="tensor"):
        super().__init__()
        self.stem = nn.Conv2d(1, n_channels, 3)
        self.block = Block(n_channels)
        self.drop = nn.Dropout(0.5)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(4 * n_channels, n_outputs)
        self.unused = nn.Linear(2, 2)
        self.returns = returns
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x):
        x = self.drop(self.pool(self.block(self.block(self.stem(self.scale * x)))).flatten(1))
        output = self.fc(x)
        return {"tensor": output, "tuple": (output, x), "dict": {"logits": output}, "few": output[:1]}[self.returns]


def make_net(**options):
    torch.manual_seed(0)
    net = Net(6, 10, **options)
    with torch.no_grad():
        net(torch.from_numpy(DIGITS).view(-1, 1, 8, 8))  # batch normalisation learns its statistics
    return net


def make_sequence():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(3),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(72, 10),
    )  # fmt: skip


def script(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls torch.jit deprecated
        return torch.jit.script(module)


def by_hand(net, X=DIGITS):
    net = copy.deepcopy(net).eval()
    with torch.no_grad():
        x = net.pool(net.block(net.block(net.stem(2 * torch.from_numpy(X).view(-1, 1, 8, 8))))).flatten(1)
        return x.numpy(), net.fc(x).numpy()


@pytest.fixture(scope="module")
def pretrained():
    """A small network that has learned digits 0 to 4."""
    net = make_sequence()
    rows = LABELS < 5
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    X, y = torch.from_numpy(DIGITS[rows]), torch.from_numpy(LABELS[rows])
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(X), y).backward()
        optimiser.step()
    return net


@pytest.mark.parametrize("batch_size", [1, 7, 256, 1000])
def test_features_are_those_of_the_module_in_evaluation_mode(batch_size):
    net = make_net().train()
    features, scores = by_hand(net)
    options = {"batch_size": batch_size, "input_shape": (1, 8, 8)}
    np.testing.assert_allclose(TorchEncoder(net, **options).transform(DIGITS), scores, atol=1e-5)
    encoder = TorchEncoder(net, output="pool", **options)
    rows = encoder.transform(DIGITS)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, features, atol=1e-5)
    assert list(encoder.get_feature_names_out()[:2]) == ["torchencoder0", "torchencoder1"]
    assert len(encoder.get_feature_names_out()) == rows.shape[1] == 24


def test_layer_that_is_run_twice_gives_its_last_output():
    net = make_net()
    block = TorchEncoder(net, output="block", input_shape=(1, 8, 8)).transform(DIGITS[:5]).reshape(5, 6, 6, 6)
    pooled = nn.functional.adaptive_avg_pool2d(torch.from_numpy(block), 2).flatten(1).numpy()
    np.testing.assert_allclose(pooled, by_hand(net, DIGITS[:5])[0], atol=1e-5)


def test_rows_may_come_in_the_shape_of_the_module():
    net = make_net()
    images = DIGITS.reshape(-1, 1, 8, 8)
    np.testing.assert_array_equal(
        TorchEncoder(net).fit(images).transform(images), TorchEncoder(net, input_shape=(1, 8, 8)).transform(images)
    )


def test_names_of_columns_are_compared_only_with_those_that_fit_has_seen():
    frames = pytest.importorskip("pandas")
    rows = frames.DataFrame(DIGITS[:5]).add_prefix("pixel")
    encoder = TorchEncoder(make_sequence())
    expected = encoder.transform(DIGITS[:5])
    np.testing.assert_array_equal(encoder.transform(rows), expected)  # and no warning
    np.testing.assert_array_equal(encoder.fit(rows).transform(rows), expected)
    with pytest.raises(ValueError, match="feature names should match"):
        encoder.transform(rows[rows.columns[::-1]])


def test_module_is_left_as_it_is():
    net = make_net()
    net.drop.eval()
    net.fc.requires_grad_(False)
    net(torch.zeros(2, 1, 8, 8)).sum().backward()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    gradients = {name: None if p.grad is None else p.grad.clone() for name, p in net.named_parameters()}
    tensors, keys = [id(p) for p in net.parameters()], set(vars(net))
    X = DIGITS.copy()
    TorchEncoder(net, output="pool", input_shape=(1, 8, 8)).fit(X).transform(X)
    assert [module.training for module in (net, net.drop, net.block)] == [True, False, True]
    assert [p.requires_grad for p in net.fc.parameters()] == [False, False]
    assert net.stem.weight.requires_grad
    assert [id(p) for p in net.parameters()] == tensors
    assert set(vars(net)) == keys
    assert not any(module._forward_hooks for module in net.modules())
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=0, atol=0)
    for name, p in net.named_parameters():
        assert (p.grad is None) == (gradients[name] is None)
    np.testing.assert_array_equal(X, DIGITS)


class InPlace(nn.Module):
    """Changes the rows that it is given."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.full((64,), 2.0))

    def forward(self, x):
        return x.sub_(0.5).relu_() * self.scale


@pytest.mark.parametrize("module", [nn.ReLU(inplace=True), InPlace(), nn.Sequential(nn.Identity(), InPlace())])
def test_rows_are_left_as_they_are_by_a_module_that_works_in_place(module):
    X = DIGITS - 0.25
    before = X.copy()
    encoder = TorchEncoder(module)
    first = encoder.fit(X).transform(X)
    np.testing.assert_array_equal(encoder.transform(X), first)
    assert (first != X).any()
    first[:] = 7.0  # what comes back is no view of the rows either
    np.testing.assert_array_equal(X, before)
    X.setflags(write=False)
    np.testing.assert_array_equal(encoder.transform(X), encoder.transform(before))


def test_fine_tuning_leaves_rows_as_they_are_when_the_module_works_in_place():
    X, y = DIGITS.copy(), LABELS
    layers = [ModuleLayer(InPlace(), None, (64,), 50), Linear(np.zeros((64, 10), np.float32), np.zeros(10, np.float32))]
    options = TrainingOptions(max_epochs=2, early_stopping=True)
    train_network(layers, Examples(X, y), options, validation=Examples(X, y))
    np.testing.assert_array_equal(X, DIGITS)


def test_types_of_other_widths_are_taken_and_float32_returned():
    for dtype in (torch.float64, torch.bfloat16):
        rows = TorchEncoder(make_sequence().to(dtype)).transform(DIGITS[:9])
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows, TorchEncoder(make_sequence()).transform(DIGITS[:9]), atol=0.05)


def test_threads_share_an_encoder():
    net = make_net()
    encoder = TorchEncoder(net, output="pool", input_shape=(1, 8, 8), batch_size=16)
    parts = np.array_split(DIGITS, 8)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(encoder.transform, parts))
    np.testing.assert_allclose(np.concatenate(found), by_hand(net)[0], atol=1e-5)


def test_fit_takes_note_of_a_module_that_was_trained_on():
    net = make_sequence()
    encoder = TorchEncoder(net, output="5").fit(DIGITS)
    frozen = PretrainedEncoder(encoder)
    first = frozen.transform(DIGITS)
    with torch.no_grad():
        net[1].weight += 1
    np.testing.assert_array_equal(encoder.transform(DIGITS), first)
    assert np.abs(encoder.fit(DIGITS).transform(DIGITS) - first).max() > 0.1
    assert np.abs(frozen.transform(DIGITS) - first).max() > 0.1
    assert encoder.layer_names_.tolist() == list("01234567")
    assert np.abs(encoder.set_params(output="7").transform(DIGITS).shape[1]) == 10


@pytest.mark.parametrize("dump", [pickle.dumps, lambda encoder: pickle.dumps(copy.copy(encoder))])
def test_pickled_it_encodes_the_same(dump):
    encoder = TorchEncoder(make_net().to(torch.bfloat16), output="pool", input_shape=(1, 8, 8)).fit(DIGITS)
    encoder.module.fc.requires_grad_(False)
    loaded = pickle.loads(dump(encoder))
    np.testing.assert_array_equal(loaded.transform(DIGITS), encoder.transform(DIGITS))
    assert type(loaded.module.stem.weight) is nn.Parameter
    assert [p.requires_grad for p in loaded.module.parameters()] == [
        p.requires_grad for p in encoder.module.parameters()
    ]
    buffers = []
    pickle.dumps(encoder, protocol=5, buffer_callback=buffers.append)
    assert len(buffers) >= 9  # tensors travel as arrays


def test_tied_weights_stay_tied():
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
    net[2].weight = net[0].weight
    for twin in (pickle.loads(pickle.dumps(TorchEncoder(net))), copy.deepcopy(TorchEncoder(net))):
        assert twin.module[2].weight is twin.module[0].weight


def test_joblib_and_fingerprints_see_arrays(tmp_path):
    encoder = TorchEncoder(make_net(), input_shape=(1, 8, 8))
    joblib.dump(encoder, tmp_path / "encoder.joblib")
    loaded = joblib.load(tmp_path / "encoder.joblib")
    np.testing.assert_array_equal(loaded.transform(DIGITS), encoder.transform(DIGITS))
    assert joblib.hash(loaded) == joblib.hash(encoder)
    np.testing.assert_array_equal(
        PretrainedEncoder(str(tmp_path / "encoder.joblib")).transform(DIGITS), encoder.transform(DIGITS)
    )


def test_clone_keeps_the_module_itself():
    encoder = TorchEncoder(make_net(), output="pool", input_shape=(1, 8, 8))
    twin = clone(encoder)
    assert twin.module is encoder.module
    assert clone(PretrainedEncoder(encoder)).source is encoder


def test_it_stands_in_a_search_over_layers():
    model = make_pipeline(TorchEncoder(make_net(), input_shape=(1, 8, 8)), LogisticHead())
    search = GridSearchCV(model, {"torchencoder__output": ["pool", None], "logistichead__C": [1, 10]}, cv=2)
    search.fit(DIGITS, LABELS)
    assert search.best_params_["torchencoder__output"] == "pool"
    assert search.score(DIGITS, LABELS) > 0.8


def test_file_of_common_layers_needs_no_trust(tmp_path):
    net = make_sequence()
    model = TransferClassifier(TorchEncoder(net, output="5"), strategy="frozen").fit(DIGITS, LABELS)
    save(model, tmp_path / "model.tk")
    loaded = load(tmp_path / "model.tk", verify="full")
    np.testing.assert_array_equal(loaded.predict_proba(DIGITS), model.predict_proba(DIGITS))
    assert (
        describe(tmp_path / "model.tk").class_name == "TransferClassifier" if hasattr(describe, "class_name") else True
    )
    assert net.training
    assert loaded.encoder_.encoder_.module.training


def test_file_of_own_classes_needs_trust(tmp_path):
    path = tmp_path / "encoder.tk"
    net = make_net()
    net.block.requires_grad_(False)
    net.fc.weight = nn.Parameter(net.fc.weight.detach().to(torch.bfloat16).float())
    encoder = TorchEncoder(net, output="pool", input_shape=(1, 8, 8)).fit(DIGITS)
    save(encoder, path)
    names = [f"{__name__}.Net", f"{__name__}.Block"]
    assert all(name in repr(describe(path)) for name in (*names, "torch.nn.Conv2d"))  # so one knows what to trust
    for some in (None, names[:1], names[1:]):
        with pytest.raises(ModelFileError, match=r"torch modules of the classes .* name them: trusted=\["):
            load(path, trusted=some)
    with pytest.raises(ModelFileError) as refusal:
        load(path)
    assert str(refusal.value).count(f"{sorted(names)}") == 2  # all of them at once
    loaded = load(path, trusted=[Net, Block])
    np.testing.assert_array_equal(loaded.transform(DIGITS), encoder.transform(DIGITS))
    assert type(loaded.module) is Net
    assert loaded.module.block.norm_class is nn.BatchNorm2d
    assert [p.requires_grad for p in loaded.module.parameters()] == [p.requires_grad for p in net.parameters()]
    assert loaded.module.state_dict().keys() == net.state_dict().keys()


def test_shared_modules_and_tied_weights_survive_a_file(tmp_path):
    shared = nn.Linear(64, 64)
    net = nn.Sequential(shared, nn.Tanh(), shared, nn.Linear(64, 64, bias=False))
    net[3].weight = shared.weight
    save(TorchEncoder(net), tmp_path / "encoder.tk")
    loaded = load(tmp_path / "encoder.tk").module
    assert loaded[0] is loaded[2]
    assert loaded[3].weight is loaded[0].weight


class Loud(nn.Module):
    def __new__(cls, *args):
        raise AssertionError("code of the class ran")


def test_classes_are_built_without_their_code(tmp_path):
    loud = object.__new__(Loud)
    nn.Module.__init__(loud)
    save(TorchEncoder(nn.Sequential(loud)), tmp_path / "encoder.tk")
    assert type(load(tmp_path / "encoder.tk", trusted=[Loud]).module[0]) is Loud


def rewrite(path, change):
    with _container.open_container(path) as file:
        header = _container.read_header(file)
        arrays = {name: array.copy() for name, array in _container.read_arrays(file, header, mmap=False).items()}
    [state] = [entry["state"] for entry in header.metadata["estimators"] if "TorchEncoder" in entry["class"]]
    description = dict(state["module"]["dict"])
    change(description)
    state["module"] = {"dict": [list(item) for item in description.items()]}
    _container.write_container(path, arrays, header.metadata)


def set_in_last(key, name, value):
    def change(description):
        entry = description["modules"][-1]["dict"]
        [content] = [pair[1] for pair in entry if pair[0] == key]
        if name is None:
            entry[[pair[0] for pair in entry].index(key)][1] = value
        else:
            content["dict"].append([name, value])

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in_last("class", None, "os.system"), r"classes \['os.system'\], and their code is not in the file"),
        (set_in_last("class", None, "torch.nn.Transformer"), r"trusted=\['torch.nn.Transformer'\]"),
        (set_in_last("class", None, "torch.relu"), "is not a class"),
        (set_in_last("references", "activation", "os.system"), r"\['os.system'\], and their code"),
        (set_in_last("attributes", "forward", 1), "sets 'forward', which is not part of the state"),
        (set_in_last("attributes", "_modules", 1), "sets '_modules', which is not part"),
        (set_in_last("attributes", "anything", 1), "sets 'anything', which is not part"),
        (set_in_last("modules", "forward", 0), "would hide an attribute"),
        (set_in_last("modules", "9", 99), "a module within a module is missing"),
        (set_in_last("parameters", "weight", 99), "is damaged"),
        (lambda description: description.pop("tensors"), "is damaged"),
        (lambda description: description.update(modules=[]), "is damaged"),
        (
            lambda description: description.update(program=[]),
            r"'torch.export.ExportedProgram'\], and torch.export.load may",
        ),
    ],
)
def test_file_cannot_smuggle_anything_into_a_module(change, message, tmp_path):
    save(TorchEncoder(make_sequence()), tmp_path / "encoder.tk")
    rewrite(tmp_path / "encoder.tk", change)
    with pytest.raises(ModelFileError, match=message):
        load(tmp_path / "encoder.tk")


def test_modules_within_modules_are_bounded(tmp_path):
    save(TorchEncoder(nn.Sequential(nn.Sequential(nn.Identity()))), tmp_path / "encoder.tk")

    def nest(description):
        entries = description["modules"]
        for _ in range(40):
            last = len(entries) - 1
            entry = copy.deepcopy(entries[-1])
            [pair] = [pair for pair in entry["dict"] if pair[0] == "modules"]
            pair[1] = {"dict": [["0", last], ["1", last]]}
            entries.append(entry)

    rewrite(tmp_path / "encoder.tk", nest)
    with pytest.raises(ModelFileError, match="nests them more than 100 deep"):
        load(tmp_path / "encoder.tk")


def test_allowed_layers_exist_and_hold_plain_data():
    for name in LAYERS:
        assert issubclass(getattr(nn, name), nn.Module)


class Holds(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda x: x, "module.0.value of TorchEncoder is a function"),
        (torch.ones(2), "a tensor that is neither parameter nor buffer"),
        ([object()], "module.0.value of TorchEncoder is a object"),
    ],
)
def test_what_a_file_cannot_hold_is_named(value, message, tmp_path):
    with pytest.raises(ModelFileError, match=message):
        save(TorchEncoder(nn.Sequential(Holds(value))), tmp_path / "encoder.tk")
    hooked = nn.Linear(64, 2)
    hooked.register_forward_pre_hook(print)
    with pytest.raises(ModelFileError, match=r"has hooks, which cannot be stored.*torch\.export"):
        save(TorchEncoder(hooked), tmp_path / "encoder.tk")


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_exported_program_is_taken_for_any_number_of_rows(dynamic, tmp_path):
    net = make_sequence().eval()
    shapes = ({0: torch.export.Dim("rows")},) if dynamic else None
    program = torch.export.export(net, (torch.zeros(3, 64),), dynamic_shapes=shapes)
    expected = TorchEncoder(net).transform(DIGITS)
    np.testing.assert_allclose(TorchEncoder(program).transform(DIGITS), expected, atol=1e-5)
    encoder = TorchEncoder(program, output="5").fit(DIGITS[:1])
    features = TorchEncoder(net, output="5").transform(DIGITS)
    np.testing.assert_allclose(encoder.transform(DIGITS), features, atol=1e-5)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(encoder)).transform(DIGITS), features, atol=1e-5)
    save(encoder, tmp_path / "encoder.tk")
    with pytest.raises(ModelFileError, match=r"trusted=\['torch.export.ExportedProgram'\]"):
        load(tmp_path / "encoder.tk")
    loaded = load(tmp_path / "encoder.tk", trusted=["torch.export.ExportedProgram"])
    np.testing.assert_allclose(loaded.transform(DIGITS), features, atol=1e-5)
    with pytest.raises(ValueError, match="whose parameters require gradients"):
        TransferClassifier(encoder, strategy="finetune").fit(DIGITS, LABELS)


def test_fine_tuning_trains_a_copy(pretrained, tmp_path):
    rng = np.random.default_rng(0)
    train = np.concatenate([rng.choice(np.flatnonzero(label == LABELS), 8, replace=False) for label in range(10)])
    test = np.setdiff1d(np.arange(len(LABELS)), train)
    state = {name: tensor.clone() for name, tensor in pretrained.state_dict().items()}
    encoder = TorchEncoder(pretrained, output="5")
    frozen = TransferClassifier(encoder, strategy="frozen").fit(DIGITS[train], LABELS[train])
    tuned = TransferClassifier(encoder, strategy="finetune", encoder_learning_rate=1.0)
    tuned.fit(DIGITS[train], LABELS[train])
    for name, tensor in pretrained.state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=0, atol=0)
    assert tuned.encoder_.module is not pretrained
    moved = {
        name: float((t.float() - state[name].float()).abs().max())
        for name, t in tuned.encoder_.module.state_dict().items()
    }
    assert moved["1.weight"] > 1e-3
    assert moved["7.weight"] == moved["2.running_mean"] == 0  # behind the layer, and kept in evaluation mode
    assert tuned.score(DIGITS[test], LABELS[test]) > frozen.score(DIGITS[test], LABELS[test]) - 0.02
    save(tuned, tmp_path / "tuned.tk")
    np.testing.assert_array_equal(load(tmp_path / "tuned.tk").predict_proba(DIGITS), tuned.predict_proba(DIGITS))


def test_frozen_parameters_and_late_blocks_stay(pretrained):
    net = copy.deepcopy(pretrained)
    net[1].requires_grad_(False)
    encoder = TorchEncoder(net, output="5")
    tuned = TransferClassifier(encoder, strategy="finetune", cv=2).fit(DIGITS[:100], LABELS[:100]).encoder_.module
    torch.testing.assert_close(tuned[1].weight, net[1].weight, rtol=0, atol=0)
    assert not torch.equal(tuned[2].weight, net[2].weight)
    late = TransferClassifier(encoder, strategy="finetune", cv=2, unfreeze_at=1000).fit(DIGITS[:100], LABELS[:100])
    torch.testing.assert_close(late.encoder_.module[2].weight, net[2].weight, rtol=0, atol=0)


def test_small_modules_are_fine_tuned_by_auto(pretrained):
    model = TransferClassifier(TorchEncoder(pretrained, output="5"), cv=2).fit(DIGITS[:100], LABELS[:100])
    assert set(model.strategy_scores_["strategy"]) == {"finetune", "frozen", "scratch"}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TorchEncoder("net.pt"), ValueError, "'module' parameter of TorchEncoder must be"),
        (lambda: TorchEncoder(LogisticHead()), ValueError, "'module' parameter of TorchEncoder must be"),
        (
            lambda: TorchEncoder(make_net(), output="pol", input_shape=(1, 8, 8)),
            ValueError,
            "has no layer 'pol'. Its layers are 'stem', 'block', 'block.conv'",
        ),
        (
            lambda: TorchEncoder(make_net(), output="unused", input_shape=(1, 8, 8)),
            ValueError,
            "The layer 'unused' of the module of TorchEncoder is not run by its forward",
        ),
        (
            lambda: TorchEncoder(make_net(returns="tuple"), input_shape=(1, 8, 8)),
            TypeError,
            "The module of TorchEncoder returns a tuple of 2, .* Set output to the layer that returns it: 'stem'",
        ),
        (
            lambda: TorchEncoder(make_net(returns="dict"), input_shape=(1, 8, 8)),
            TypeError,
            r"returns a dict with the keys \['logits'\]",
        ),
        (
            lambda: TorchEncoder(make_net(returns="few"), input_shape=(1, 8, 8)),
            ValueError,
            r"returns a tensor of shape \(1, 10\) for \d+ rows",
        ),
        (
            lambda: TorchEncoder(make_net(), input_shape=(1, 8, 9)),
            ValueError,
            r"input_shape=\(1, 8, 9\) means 72 values per sample, but the samples have 64",
        ),
        (lambda: TorchEncoder(make_net(), input_shape=(1, 8, 8.0)), ValueError, "'input_shape' parameter of TorchEnc"),
        (lambda: TorchEncoder(make_net()), ValueError, r"cannot be run on rows of shape \(64,\): .* Set input_shape"),
        (lambda: TorchEncoder(make_sequence(), batch_size=0), ValueError, "'batch_size' parameter of TorchEncoder"),
        (lambda: TorchEncoder(make_sequence(), device="tpu9"), ValueError, "device must be 'auto'"),
        (lambda: TorchEncoder(script(make_sequence())), ValueError, r"comes from torch.jit, .*torch\.export\.export"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_bad_modules_are_named(make, error, message, method):
    encoder = make()
    with pytest.raises(error, match=message):
        getattr(encoder, method)(DIGITS)
    assert not hasattr(encoder, "layer_names_")


def test_bad_rows_are_named():
    encoder = TorchEncoder(make_sequence()).fit(DIGITS)
    for X in (DIGITS * np.nan, np.where(DIGITS > 0.9, np.inf, DIGITS)):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            encoder.transform(X)
    with pytest.raises(ValueError, match="X has 60 features, but TorchEncoder is expecting 64"):
        encoder.transform(DIGITS[:, :60])
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        encoder.transform(sp.csr_array(DIGITS))
    with pytest.raises(ValueError, match="returned NaN or infinity for row 1, whose entries are finite"):
        TorchEncoder(Logarithm()).transform([[1.0], [-1.0]])


class Logarithm(nn.Module):
    def forward(self, x):
        return torch.log(x)


def test_module_that_cannot_be_copied_is_named():
    net = nn.Linear(64, 2)
    net.made = net.weight * 2
    with pytest.raises(ValueError, match="cannot be copied"):
        TorchEncoder(net).transform(DIGITS)


@pytest.mark.gpu
def test_features_and_fine_tuning_are_the_same_on_a_gpu(pretrained):
    on_cpu = TorchEncoder(pretrained, output="5", device="cpu")
    on_gpu = TorchEncoder(copy.deepcopy(pretrained).cuda(), output="5", device="cuda")
    np.testing.assert_allclose(on_gpu.transform(DIGITS), on_cpu.transform(DIGITS), atol=1e-4)
    np.testing.assert_allclose(
        pickle.loads(pickle.dumps(on_gpu)).transform(DIGITS), on_cpu.transform(DIGITS), atol=1e-4
    )
    model = TransferClassifier(on_gpu, strategy="finetune", device="cuda").fit(DIGITS[:200], LABELS[:200])
    assert model.score(DIGITS, LABELS) > 0.8
