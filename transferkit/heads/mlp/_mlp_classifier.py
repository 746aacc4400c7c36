"""Classification by a multilayer perceptron, trained by gradient descent."""

import os
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import unique_labels

from transferkit._types import ClassWeight, FittedPredictor, Function, Numbers, Seed
from transferkit._validation import (
    Interval,
    StrOptions,
    available_if,
    check_has_classes,
    check_labels,
    check_probabilities,
    fit_context,
    to_numpy,
)
from transferkit.heads.linear._linear_classifier import (
    ScoringClassifierMixin,
    apply_class_weight,
    encode_labels,
    weight_probabilities,
)
from transferkit.heads.mlp._base import MLPHead, TrainingSet
from transferkit.heads.mlp._parameters import CONSTRAINTS

__all__ = ["MLPHeadClassifier"]


class MLPHeadClassifier(ScoringClassifierMixin, MLPHead):
    """Classify by a linear layer or a multilayer perceptron, trained with torch and stored in NumPy.

    The objective is the mean loss of the samples, weighted by `sample_weight`, plus ``alpha / 2`` times the sum of the
    squared weights; intercepts are not penalised.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Number of units of each hidden layer; () stands for one linear layer.
    activation : {"relu", "leaky_relu", "elu", "tanh", "sigmoid", "gelu", "identity"}, default="relu"
        Activation of the hidden layers; "leaky_relu" has the slope 0.01 below zero.
    dropout : float, default=0.0
        Probability, in [0, 1), with which a hidden unit is set to zero in a training step.
    batch_norm : bool, default=False
        Whether to apply batch normalisation before each activation. After training it is folded into `coefs_` and
        `intercepts_`. Batches then have at least two samples: a single one that is left over joins the batch before it.
        A `partial_fit` of a single sample is normalised by the running statistics.
    loss : {"cross_entropy", "hinge", "focal"}, default="cross_entropy"
        "cross_entropy" is that of the softmax of the outputs for more than two classes, and of the sigmoid of each
        output for two classes or an indicator matrix. "hinge" is the loss of a linear support vector machine per output
        (one-vs-rest); it gives no probabilities. "focal" is cross-entropy times (1 - p) ** focal_gamma, which gives
        less weight to samples that are predicted with confidence. With an indicator matrix the loss of a sample is the
        sum over the labels.
    focal_gamma : float, default=2.0
        Exponent of the focal loss, not negative; 0 gives cross-entropy.
    class_weight : dict or "balanced", default=None
        Weights of the classes, {label: weight}; "balanced" gives all classes the same total weight. Must be None for
        indicator matrices.
    label_smoothing : float, default=0.0
        Share of the probability of each label, in [0, 1), that is spread evenly over all classes.
    solver : str, default="adam"
        "gd" (full-batch gradient descent), "sgd", "momentum", "nesterov", "rmsprop" (decay 0.99), "adagrad", "adam"
        [1]_ and "adamw" (decays 0.9 and 0.999; "adamw" decouples the penalty: it multiplies weights by one minus the
        learning rate times `alpha`), or "lbfgs", full-batch quasi-Newton steps with a line search, which ignores the
        learning rate and cannot be combined with dropout, batch normalisation, augmentation, clipping or pruning.
    alpha : float, default=1e-4
        Strength of the L2 penalty.
    momentum : float, default=0.9
        Decay of the velocity of "momentum" and "nesterov", in [0, 1).
    clip_norm, clip_value : float, default=None
        Largest Euclidean norm of the gradient of all weights together, and largest magnitude of its entries.
    learning_rate_init : float or "auto", default=1e-3
        Initial learning rate. "auto" finds it by a range test [2]_ before training: in steps with growing rates, it is
        a third of the rate at which the loss has made nine tenths of its decrease.
    learning_rate : str or callable, default="constant"
        Schedule: "constant"; "step", multiplied by `learning_rate_decay` every `learning_rate_epochs` epochs;
        "exponential", the same but continuous; "inverse", proportional to 1 / (1 + c t), which also reaches the decay
        after these epochs; "cosine", annealed along half a cosine to zero at `max_iter`; "one_cycle", increasing for
        three tenths of `max_iter`, then decreasing; "plateau", multiplied by the decay when the loss (or the validation
        score) has not improved for `learning_rate_epochs` epochs. A callable takes the index of the step and returns
        the factor of `learning_rate_init`.
    learning_rate_decay, learning_rate_epochs : float and int, default=0.5 and 10
        See `learning_rate`.
    warmup : float, default=0
        Number of epochs, possibly a fraction, in which the learning rate increases linearly from zero.
    batch_size : int or "auto", default="auto"
        Number of samples per step; "auto" is 200, or all samples if there are fewer. Warns if there are fewer samples.
    batch_schedule : {"constant", "grow", "decay"} or callable, default="constant"
        "grow" doubles and "decay" halves the batch size at `batch_epochs`; a callable takes the index of the epoch and
        returns the size, at least 1 and clipped to the number of samples.
    batch_epochs : int, sequence of int or "stall", default=10
        When the batch size changes: an interval in epochs, the epochs themselves, or whenever the loss has not
        decreased by 1e-4 for 3 epochs.
    weight_init : str, pair of lists, fitted head or path, default="kaiming"
        Initial weights: "random" (standard normal times `init_scale`, 0.01 if None), "normal" (around `init_mean` with
        standard deviation `init_scale`, 0.05 if None), "uniform" (within `init_scale` of `init_mean`), "xavier",
        "kaiming", "orthogonal", "zeros" (for one linear layer). Or arrays, (coefs, intercepts). Or a fitted network or
        linear head, or the path of a saved one: its hidden layers are copied, and from its output layer the classes
        that the task has too; new classes are initialised as with "kaiming". It is not changed, and `clone` keeps it.
    init_mean, init_scale : float, default=0.0 and None
        See `weight_init`.
    max_iter : int, default=200
        Maximum number of epochs.
    tol : float or None, default=1e-4
        Training stops when the loss, or with `early_stopping` the validation score, has not improved by more than this
        for `n_iter_no_change` epochs; with None it never stops early.
    n_iter_no_change : int, default=10
        See `tol`.
    early_stopping : bool, default=False
        Whether to stop by the accuracy on held-out samples, and to restore the weights with the best one.
    validation_fraction : float, default=0.1
        Share of the samples that `early_stopping` holds out, unless `fit` gets a validation set. Stratified if there is
        at least one held-out sample per class; the only sample of a class is not held out.
    mixup : float, default=0.0
        Parameter of the Beta distribution of the share of each sample when its features and targets are mixed with
        those of a random partner, drawn anew in each epoch [3]_; 0 for no mixing.
    feature_noise : float, default=0.0
        Standard deviation of the noise added to features in each epoch; for sparse input to stored entries only.
    feature_dropout : float, default=0.0
        Probability, in [0, 1), with which a feature of a sample is set to zero in an epoch; others are scaled up.
    swa : float, default=None
        Share of `max_iter`, in [0, 1), after which the weights of all epochs are averaged [4]_; with `prune_schedule`
        not before pruning is complete. With `early_stopping` the average is used only if its validation score is at
        least as good. Warns if training ends before there is anything to average: set ``tol=None``.
    prune_schedule : dict, default=None
        {"amount": share, "begin": epoch, "end": epoch}: a growing share of the smallest weights of all layers together
        is set to zero for good, up to `amount` at epoch "end" (default `max_iter // 2`); the epochs that follow
        fine-tune the others. `tol` and `early_stopping` consider only these epochs.
    warm_start : bool, default=False
        Whether `fit` starts from the last solution if that has the same classes, features and layers.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, order of samples, dropout and augmentation. Equal seeds give equal weights on the same
        device.
    device : str, default="auto"
        Device of training: "auto" (CUDA if available, else the CPU), "cpu", "cuda" or "cuda:1". Predictions use NumPy
        on the CPU.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (n_inputs, n_outputs)
        Weights of each layer; sparse or of low precision after :func:`transferkit.compression.prune` and
        :func:`transferkit.compression.quantise`.
    intercepts_ : list of ndarray of shape (n_outputs,)
        Intercepts of each layer.
    scales_ : list or None
        Factors (n_outputs,) of the columns of int8 weights.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted; after a multilabel fit the indices of the labels.
    multilabel_ : bool
        Whether y was an indicator matrix, so that outputs are independent binary classifiers.
    n_iter_ : int
        Number of epochs.
    n_steps_ : int
        Number of update steps.
    loss_ : float
        Mean training loss of the last epoch, without the penalty.
    loss_curve_ : list of float
        Mean training loss of each epoch.
    validation_scores_ : list of float or None
        Score on the held-out samples after each epoch.
    history_ : dict of str to list
        "loss", "learning_rate" (at the start), "batch_size" and "validation_score" of each epoch.
    learning_rate_init_ : float
        The initial learning rate, given or found.
    learning_rate_curve_ : dict or None
        "learning_rate" and smoothed "loss" of each step of the range test.
    init_coverage_ : dict or None
        "classes_matched", "classes_new" and "classes_dropped" of a head given as `weight_init`.
    batch_norms_ : list or None
        Scale, shift, mean and variance (4, n_outputs) of the batch normalisation folded into each layer.
    compression_ : dict or None
        Report of :func:`transferkit.compression.prune` or :func:`transferkit.compression.quantise`.
    optimiser_state_ : list of ndarray or None
        State of the optimiser between calls of `partial_fit`.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if all names seen in `fit` are strings.

    See Also
    --------
    LogisticHead : The optimum of one linear layer with cross-entropy, faster than by gradient descent.
    MLPHeadRegressor : The same for regression.
    sklearn.neural_network.MLPClassifier : Has fewer options and no GPU support.

    Notes
    -----
    Gradients are computed in closed form, layer by layer, and parameters are stored in flat buffers; no graph is
    recorded. The data stay on the device, and one number per epoch is read from it. On a GPU a whole step is one
    captured CUDA graph.

    Sparse input is never converted to dense: the first layer is a sparse product, and a step changes only those rows of
    its weights (and of the optimiser state) whose features occur in the batch. The penalty `alpha` and the decay of
    momenta therefore act on the weights of a rare feature only in the steps that use it, as in other implementations of
    lazy Adam. With "gd" and "lbfgs", and if all features occur in each batch, results equal those of dense input.

    float32 features are trained in float32, all others in float64. Samples of weight zero are left out.

    Scale features to about unit variance: otherwise gradient descent is slow, or diverges. Training that takes all
    `max_iter` epochs does not warn, since most mini-batch training ends that way; see `n_iter_`.

    `set_callbacks` takes scikit-learn's callbacks, such as ``ProgressBar()``: each epoch of `fit` is a task, and
    training ends when a callback requests it.

    A validation set reaches `fit` through a pipeline, encoded like the training data, with
    ``sklearn.set_config(enable_metadata_routing=True)``, ``Pipeline(steps, transform_input=["X_val"])`` and
    ``head.set_fit_request(X_val=True, y_val=True)``.

    References
    ----------
    .. [1] D. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR (2015).
    .. [2] L. N. Smith, "Cyclical learning rates for training neural networks", WACV (2017).
    .. [3] H. Zhang et al., "mixup: beyond empirical risk minimization", ICLR (2018).
    .. [4] P. Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI (2018).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from transferkit import MLPHeadClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> head = MLPHeadClassifier(32, learning_rate_init=0.01, random_state=0).fit(X, y)
    >>> head.predict(X[:2])
    array([0, 0])
    >>> [coef.shape for coef in head.coefs_]
    [(4, 32), (32, 3)]
    >>> head.score(X, y) > 0.95
    True
    """

    fitted_attributes = ("classes_", "multilabel_")

    _parameter_constraints = {
        **CONSTRAINTS,
        "loss": [StrOptions({"cross_entropy", "hinge", "focal"})],
        "focal_gamma": [Interval(Real, 0, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }
    _target_checks = {}

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        *,
        activation: Literal["relu", "leaky_relu", "elu", "tanh", "sigmoid", "gelu", "identity"] = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        loss: Literal["cross_entropy", "hinge", "focal"] = "cross_entropy",
        focal_gamma: float = 2.0,
        class_weight: ClassWeight = None,
        label_smoothing: float = 0.0,
        solver: Literal["adam", "adagrad", "adamw", "gd", "lbfgs", "momentum", "nesterov", "rmsprop", "sgd"] = "adam",
        alpha: float = 1e-4,
        momentum: float = 0.9,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        learning_rate_init: Literal["auto"] | float = 1e-3,
        learning_rate: Literal["constant", "cosine", "exponential", "inverse", "one_cycle", "plateau", "step"]
        | Function = "constant",
        learning_rate_decay: float = 0.5,
        learning_rate_epochs: int = 10,
        warmup: float = 0,
        batch_size: Literal["auto"] | int = "auto",
        batch_schedule: Literal["constant", "grow", "decay"] | Function = "constant",
        batch_epochs: Literal["stall"] | int | Numbers = 10,
        weight_init: Literal["kaiming", "normal", "orthogonal", "random", "uniform", "xavier", "zeros"]
        | Sequence[Any]
        | FittedPredictor
        | os.PathLike[str] = "kaiming",
        init_mean: float = 0.0,
        init_scale: float | None = None,
        max_iter: int = 200,
        tol: float | None = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        mixup: float = 0.0,
        feature_noise: float = 0.0,
        feature_dropout: float = 0.0,
        swa: float | None = None,
        prune_schedule: dict[str, Any] | None = None,
        warm_start: bool = False,
        random_state: Seed = None,
        device: str = "auto",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.loss = loss
        self.focal_gamma = focal_gamma
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.solver = solver
        self.alpha = alpha
        self.momentum = momentum
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.learning_rate_decay = learning_rate_decay
        self.learning_rate_epochs = learning_rate_epochs
        self.warmup = warmup
        self.batch_size = batch_size
        self.batch_schedule = batch_schedule
        self.batch_epochs = batch_epochs
        self.weight_init = weight_init
        self.init_mean = init_mean
        self.init_scale = init_scale
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.mixup = mixup
        self.feature_noise = feature_noise
        self.feature_dropout = feature_dropout
        self.swa = swa
        self.prune_schedule = prune_schedule
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight: ArrayLike | None = None, X_val=None, y_val=None) -> Self:
        """Train on features and labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,), or {array-like, sparse matrix} of shape (n_samples, n_labels)
            Labels of at least two classes, or an indicator matrix of zeros and ones with any number of ones per
            sample.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights, not negative; all 1 if None.
        X_val, y_val : like X and y, default=None
            Validation set: scored after each epoch, and used by `early_stopping` instead of a share of X.

        Returns
        -------
        self : MLPHeadClassifier
            The fitted head.

        Raises
        ------
        DivergenceError
            If the loss or a weight is no longer finite, or the loss exploded in the last steps.
        MemoryError
            If the device has too little memory.
        """
        return self._fit(X, self._check_targets(y), sample_weight, X_val, y_val)

    @fit_context(prefer_skip_nested_validation=True)
    def fit_soft(self, X, probabilities, *, classes=None, sample_weight: ArrayLike | None = None) -> Self:
        """Train on features and probabilities of the classes, such as the predictions of another model.

        The loss of a sample is the mean of the losses of the classes, weighted by their probabilities; for
        "cross_entropy" this is the loss of knowledge distillation (Hinton, Vinyals and Dean 2015, "Distilling the
        knowledge in a neural network"). All parameters apply as in `fit`: with `class_weight`, each probability counts
        as a label of that weight, and `early_stopping` watches the mean probability of the predicted classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        probabilities : array-like of shape (n_samples, n_classes)
            Probabilities of the classes, one column per class, also with two classes. They are not negative, and sum to
            one per sample up to 1e-3; they are normalised to sum to one exactly.
        classes : array-like of shape (n_classes,), default=None
            Distinct labels of the columns, in any order, such as the `classes_` of the model that predicted them;
            0, ..., n_classes - 1 if None.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights, not negative; all 1 if None.

        Returns
        -------
        self : MLPHeadClassifier
            The fitted head.

        Raises
        ------
        ValueError
            If probabilities are negative, missing or do not sum to one, if there is not one distinct label per column,
            or if fewer than two classes have a positive probability. Probabilities of independent labels (multilabel)
            are not supported.
        DivergenceError
            If the loss or a weight is no longer finite, or the loss exploded in the last steps.
        MemoryError
            If the device has too little memory.
        """
        classes, probabilities = check_probabilities(probabilities, classes, self)

        def encode(X, probabilities, sample_weight):
            targets, weights = weight_probabilities(self, X, classes, probabilities, sample_weight)
            kept = weights > 0
            if not kept.all():
                X, targets, weights = X[kept], targets[kept], weights[kept]
            several = len(classes) > 2
            return TrainingSet(
                X,
                np.ascontiguousarray(targets if several else targets[:, 1:], dtype=X.dtype),
                None if sample_weight is None and self.class_weight is None else weights,
                {"classes_": classes, "multilabel_": False},
                are_probabilities=several,
            )

        return self._fit(X, probabilities, sample_weight, encode=encode, to_labels=lambda y: classes[y.argmax(1)])

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one more epoch, on a part of the data.

        Each call is an epoch of the schedules of learning rate and batch size. "cosine" and "one_cycle" end after
        `max_iter` epochs and keep their last rate, which is zero for "cosine".

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels, or an indicator matrix.
        classes : array-like of shape (n_classes,), default=None
            All labels that can occur; required in the first call, unless y is an indicator matrix.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights, not negative; all 1 if None.

        Returns
        -------
        self : MLPHeadClassifier
            The head.
        """
        if classes is None and not hasattr(self, "coefs_") and np.ndim(y) < 2 and not issparse(y):
            raise ValueError("The first partial_fit needs classes: all labels that can occur.")
        if self.class_weight == "balanced":
            raise ValueError("partial_fit cannot balance classes of data it has not seen: give class_weight as a dict.")
        return self._partial_fit(X, self._check_targets(y), sample_weight, classes)

    @available_if(lambda self: _has_probabilities(self))
    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class; not after the hinge loss.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; rows sum to one, except after a multilabel fit.
        """
        return super().predict_proba(X)

    @available_if(lambda self: _has_probabilities(self))
    def predict_log_proba(self, X) -> np.ndarray:
        """Return the log-probability of each class; not after the hinge loss.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return super().predict_log_proba(X)

    def decision_function(self, X) -> np.ndarray:
        """Return the outputs of the network before any link function.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            Scores; with two classes that of `classes_[1]`, positive if it is predicted.
        """
        scores = self._compute_outputs(X)
        return scores[:, 0] if scores.shape[1] == 1 and not self.multilabel_ else scores

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _check_targets(self, y):
        return check_labels(to_numpy(y))

    def _encode(self, X, y, sample_weight, fitted=None, classes=None):
        """Return the training set, with the classes of a fitted head or given classes if there are any."""
        given = None if fitted is None else fitted["classes_"]
        if classes is not None:
            classes = unique_labels(classes)
            if given is not None and not np.array_equal(classes, given):
                raise ValueError(
                    f"classes={classes.tolist()} differs from those of the first partial_fit, {given.tolist()}."
                )
            given = classes
        if given is None:
            classes, labels, multilabel = encode_labels(self, y)
        else:
            classes = given
            labels, multilabel = _encode_labels(y, classes, None if fitted is None else fitted["multilabel_"])
        check_has_classes(classes, self)
        if multilabel and self.class_weight is not None:
            raise ValueError("class_weight must be None when y is an indicator matrix.")
        weights = apply_class_weight(X, classes, labels, self.class_weight, sample_weight)
        kept = weights > 0
        if not kept.all():
            X, labels, weights = X[kept], labels[kept], weights[kept]
        return TrainingSet(
            X,
            _to_targets(labels, classes, multilabel, X.dtype),
            None if sample_weight is None and self.class_weight is None else weights,
            {"classes_": classes, "multilabel_": multilabel},
        )

    def _encode_validation(self, y, data):
        classes, multilabel = data.attributes["classes_"], data.attributes["multilabel_"]
        labels, _ = _encode_labels(check_labels(y), classes, multilabel)
        return _to_targets(labels, classes, multilabel, data.X.dtype)


def _encode_labels(y, classes, multilabel):
    """Return class indices, or indicators and True, for known classes.

    `multilabel` is whether y must be an indicator matrix; either is accepted if it is None.
    """
    several = np.ndim(y) == 2 and np.shape(y)[1] > 1
    if multilabel is not None and several != multilabel:
        kinds = ("one label per row", "an indicator matrix")
        raise ValueError(
            f"y must be {kinds[multilabel]}, as in the first call. Got {kinds[several]} of shape {np.shape(y)}."
        )
    if several:
        indicators = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
        if indicators.shape[1] != len(classes):
            raise ValueError(f"y has {indicators.shape[1]} columns, and {len(classes)} were expected.")
        return (indicators != 0).astype(np.int64), True
    y = column_or_1d(y, warn=True)
    unseen = sorted(set(y.tolist()) - set(classes.tolist()))
    if unseen:
        raise ValueError(f"y holds labels that are not among the classes {classes.tolist()}: {unseen}.")
    return np.searchsorted(classes, y), False


def _to_targets(labels, classes, multilabel, dtype):
    """Return class indices for a softmax, and columns of zeros and ones for independent outputs."""
    if len(classes) > 2 and not multilabel:
        return labels
    return labels.reshape(len(labels), -1).astype(dtype)


def _has_probabilities(head):
    if head.loss == "hinge":
        raise AttributeError("loss='hinge' gives no probabilities. Use loss='cross_entropy' for them.")
    return True
