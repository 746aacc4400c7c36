"""Conversion of models to ONNX graphs."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from transferkit import __version__
from transferkit._algorithms.networks.compression import dequantise
from transferkit._validation import check_is_fitted
from transferkit.exceptions import ExportError, MissingExtraError
from transferkit.export._onnx_steps import NATIVE, append_step, make_tokeniser
from transferkit.export._sklearn import convert, list_steps, outputs_agree
from transferkit.persistence import make_probe, write_atomically

__all__ = ["to_onnx"]

_OPSET = 17
_IR_VERSION = 9  # supported by onnxruntime since 2023


def to_onnx(model: BaseEstimator, path: str | os.PathLike[str]) -> Callable[[Any], dict[str, np.ndarray]]:
    r"""Write a fitted model as an ONNX graph, for other languages and runtimes.

    ONNX has no operators for Python's regular expressions. The graph of a text model therefore takes tokens, and the
    application splits texts as the encoder does: lower case, then matches of its `token_pattern`, without its stop
    words. N-grams of words are counted in the graph. Those of characters are tokens, too, marked by their kind, as in
    ``"\x01char_wb 2 4\x01the"`` after a "".

    Parameters
    ----------
    model : fitted estimator
        A head, or a Pipeline, FeatureUnion or :class:`TransferClassifier` of: linear and network classifiers and
        regressors, scalers, Normalizer, PCA and TruncatedSVD, KMeansEncoder of rows, AutoencoderEncoder, and text
        encoders of words or characters that are linear up to the length of rows (TfidfEncoder, LSAEncoder,
        WordVectorEncoder with mean, tfidf or sif pooling).
    path : str or path
        Name of the file, by convention ending in ``.onnx``. An existing file is replaced atomically, as by `save`.

    Returns
    -------
    make_inputs : callable
        Function from the input of `model` to the inputs of the graph: ``session.run(None, make_inputs(texts))``. Inputs
        are "X", numbers of shape (n_rows, n_features), or "tokens", strings of shape (n_texts, n_tokens), with shorter
        rows padded by "", which therefore cannot be a term. Outputs are "probabilities" (if the model has them),
        "scores" and "labels" of a classifier, "predictions" of a regressor, "features" of a transformer. Numbers are
        float32 if the weights of the model are.

    Raises
    ------
    ExportError
        If a part has no exact counterpart; the part is named, and no file is written. Nothing is approximated.
    MissingExtraError
        If onnx and onnxruntime are not installed.

    See Also
    --------
    to_sklearn : A model of scikit-learn's own classes.

    Notes
    -----
    Before it is written, the graph is run in onnxruntime on rows generated from the model, and must agree to 1e-5.

    Counts of terms are dense in the graph, because ONNX's TfIdfVectorizer has no sparse output: each text takes four
    bytes per term of the vocabulary (eight more if the weights are float64). With a large vocabulary, run the graph on
    few texts at a time.

    Examples
    --------
    >>> import onnxruntime  # doctest: +SKIP
    >>> make_inputs = to_onnx(model, "model.onnx")  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("model.onnx")  # doctest: +SKIP
    >>> session.run(["probabilities"], make_inputs(["a text"]))  # doctest: +SKIP
    """
    onnx, onnxruntime = _import_onnx()
    steps = list_steps(_convert(model))
    dtype = _dtype_of(steps[-1])
    tokenise = make_tokeniser(steps[0])
    graph = _Graph(dtype)
    if tokenise is not None:
        inputs = [onnx.helper.make_tensor_value_info("tokens", onnx.TensorProto.STRING, ["n_texts", "n_tokens"])]
        value = "tokens"
    else:
        kind = onnx.helper.np_dtype_to_tensor_dtype(dtype)
        inputs = [onnx.helper.make_tensor_value_info("X", kind, ["n_rows", _n_features(steps)])]
        value = "X"
    for step in steps:
        value = append_step(graph, step, value)
    outputs = graph.finish(value)
    content = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, type(model).__name__, inputs, outputs, graph.initializers),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="transferkit",
        producer_version=__version__,
    )
    onnx.checker.check_model(content)
    text = content.SerializeToString()

    def make_inputs(X):
        return {"tokens": tokenise(X)} if tokenise is not None else {"X": np.asarray(X, dtype)}

    _check_agreement(model, onnxruntime, text, make_inputs)
    with write_atomically(path, "ONNX file") as temporary:
        temporary.write_bytes(text)
    return make_inputs


class _Graph:
    """Nodes and constants of a graph under construction, whose numbers have one dtype."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.nodes, self.initializers = [], []
        self.outputs = []  # (name, dtype, number of columns or None for a vector)

    def add(self, operator, *inputs, output=None, **attributes):
        """Append a node and return the name of its output."""
        from onnx import helper

        output = output or f"v{len(self.nodes)}"
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def constant(self, array):
        """Add a constant and return its name; floats are converted to the dtype of the graph."""
        from onnx import TensorProto, helper, numpy_helper

        array, name = np.asarray(array), f"c{len(self.initializers)}"
        if array.dtype.kind == "f":
            array = np.ascontiguousarray(array, self.dtype)
        if array.dtype.kind in "UO":
            texts = [str(text).encode() for text in array.ravel()]
            tensor = helper.make_tensor(name, TensorProto.STRING, array.shape, texts)
        else:
            tensor = numpy_helper.from_array(array, name)
        self.initializers.append(tensor)
        return name

    def cast(self, value, dtype, output=None):
        """Append a conversion to another dtype."""
        from onnx import helper

        return self.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), output=output)

    def finish(self, value):
        """Return descriptions of the outputs; without a head, the last value becomes the output "features"."""
        from onnx import TensorProto, helper

        if not self.outputs:
            self.outputs = [(self.add("Identity", value, output="features"), self.dtype, "n_features")]
        infos = []
        for name, dtype, columns in self.outputs:
            is_text = np.dtype(dtype).kind in "UO"
            kind = TensorProto.STRING if is_text else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
            infos.append(helper.make_tensor_value_info(name, kind, ["n"] if columns is None else ["n", columns]))
        return infos


def _convert(model):
    """Return the model in classes that have ONNX nodes: scikit-learn's, networks and k-means."""
    if not isinstance(model, BaseEstimator):
        raise ExportError(f"to_onnx takes estimators. Got {type(model).__name__} instead.")
    check_is_fitted(model)
    return convert(getattr(model, "best_estimator_", model), kept=NATIVE)


def _import_onnx():
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("to_onnx", "onnx") from error
    return onnx, onnxruntime


def _dtype_of(step):
    """Return the dtype of the weights of a step."""
    for name in ("coef_", "coefs_", "components_", "scale_", "_tfidf"):
        value = getattr(getattr(step, name, None), "idf_", getattr(step, name, None))
        value = dequantise(value[0]) if name == "coefs_" and value is not None else value
        if isinstance(value, np.ndarray):
            return np.dtype(np.float32 if value.dtype == np.float32 else np.float64)
    if hasattr(step, "estimators_") and isinstance(step.estimators_, list):
        return _dtype_of(step.estimators_[0])
    return np.dtype(np.float32)


def _n_features(steps):
    return next((int(step.n_features_in_) for step in steps if hasattr(step, "n_features_in_")), "n_features")


def _check_agreement(model, onnxruntime, content, make_inputs):
    probe = make_probe(model)
    if probe is None:
        return
    names = {"predict_proba": "probabilities", "decision_function": "scores", "transform": "features"}
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    known = [output.name for output in session.get_outputs()]
    wanted = names.get(probe["method"], "predictions" if "predictions" in known else "labels")
    [output] = session.run([wanted], make_inputs(probe["X"]))
    if not outputs_agree(output, probe["output"], rtol=1e-5, atol=1e-5):
        raise ExportError(
            f"The ONNX graph of the {type(model).__name__} would not agree with it, so it is not written."
        )
