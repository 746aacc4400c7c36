"""A classifier of one linear layer or a small network, trained by gradient steps."""

from numbers import Real

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import unique_labels

from transferkit._validation import Interval, StrOptions, check_has_classes, check_labels, fit_context, to_numpy
from transferkit.heads.linear._linear_classifier import ScoringClassifierMixin, weigh_rows
from transferkit.heads.linear._logistic import read_targets
from transferkit.heads.mlp._base import MLPHead, TrainingSet
from transferkit.heads.mlp._parameters import CONSTRAINTS

__all__ = ["MLPHeadClassifier"]


class MLPHeadClassifier(ScoringClassifierMixin, MLPHead):
    """Classify with a linear layer or a small network, trained with torch and stored in NumPy.

    What is minimised is the mean loss of the rows, weighted by their sample weights, plus ``alpha / 2`` times the sum
    of the squared weights; intercepts are free.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Units of each hidden layer; () is one linear layer.
    activation : {"relu", "leaky_relu", "elu", "tanh", "sigmoid", "gelu", "identity"}, default="relu"
        Of the hidden layers; "leaky_relu" has the slope 0.01 below zero.
    dropout : float, default=0.0
        Probability, in [0, 1), with which a hidden unit is left out of a training step.
    batch_norm : bool, default=False
        Whether hidden units are normalised over the batch before their activation. After training the
        normalisation is folded into `coefs_` and `intercepts_`. A batch has at least two rows then: a single one that
        is left over joins the batch before it. A `partial_fit` of a single row is normalised by the running statistics.
    loss : {"cross_entropy", "hinge", "focal"}, default="cross_entropy"
        Cross-entropy, of the softmax of the outputs for several classes and of the sigmoid of each output for two
        classes or an indicator matrix; "hinge", one linear support vector machine an output (one class against the
        rest), without probabilities; "focal", cross-entropy times (1 - p) ** focal_gamma, which looks away from rows
        that are already right. The loss of a row with several labels is the sum over them.
    focal_gamma : float, default=2.0
        Exponent of the focal loss, not negative; 0 is cross-entropy.
    class_weight : dict or "balanced", default=None
        Weights of the classes, {label: weight}; "balanced" gives every class the same total weight. Not for indicator
        matrices.
    label_smoothing : float, default=0.0
        Share of each label's probability, in [0, 1), that is spread over all classes.
    solver : str, default="adam"
        "gd" (gradient descent on all rows), "sgd", "momentum", "nesterov", "rmsprop" (decay 0.99), "adagrad", "adam"
        and "adamw" (decays 0.9 and 0.999; "adamw" shrinks the weights by the learning rate times `alpha` instead of
        adding the penalty's gradient), or "lbfgs", quasi-Newton steps on all rows with a line search, which looks at no
        learning rate and takes no dropout, batch normalisation, augmentation, clipping or pruning.
    alpha : float, default=1e-4
        Strength of the penalty on the squared weights.
    momentum : float, default=0.9
        Share of the last step that "momentum" and "nesterov" keep, in [0, 1).
    clip_norm, clip_value : float, default=None
        Largest Euclidean length of the gradient of all weights together, and largest size of an entry of it.
    learning_rate_init : float or "auto", default=1e-3
        Learning rate; "auto" finds it with a range test on the training data before training begins: steps with growing
        rates, a third of the rate at which the loss has made nine tenths of its fall.
    learning_rate : str or callable, default="constant"
        How the learning rate changes: "constant"; "step", times `learning_rate_decay` every `learning_rate_epochs`
        epochs; "exponential", the same but smooth; "inverse", 1 / (1 + t), also reaching the decay after these epochs;
        "cosine", half a cosine down to zero at `max_iter`; "one_cycle", up for three tenths of `max_iter` and down
        again; "plateau", times the decay when the loss (or the validation score) has not become better for
        `learning_rate_epochs` epochs. A callable takes the number of the step, from 0, and returns the factor of
        `learning_rate_init`.
    learning_rate_decay, learning_rate_epochs : float and int, default=0.5 and 10
        See `learning_rate`.
    warmup : float, default=0
        Epochs, or a part of one, in which the learning rate rises from zero in a line.
    batch_size : int or "auto", default="auto"
        Rows of a step; "auto" is 200, or all rows if there are fewer. Larger ones than there are rows warn.
    batch_schedule : {"constant", "grow", "decay"} or callable, default="constant"
        "grow" doubles and "decay" halves the batch size when `batch_epochs` says so; a callable takes the number of the
        epoch, from 0, and returns the size, at least 1; larger ones than there are rows hold all rows.
    batch_epochs : int, sequence of int or "stall", default=10
        When the batch size changes: every so many epochs, at these epochs, or whenever the loss has not fallen by
        1e-4 for 3 epochs.
    weight_init : str, pair of lists, fitted head or path, default="kaiming"
        First weights: "random" (standard normal times `init_scale`, 0.01 if None), "normal" (around `init_mean` with
        standard deviation `init_scale`, 0.05 if None), "uniform" (within `init_scale` of `init_mean`), "xavier",
        "kaiming", "orthogonal", "zeros" (for one linear layer). Or arrays, (coefs, intercepts). Or a fitted network or
        linear head, or the path of a saved one: its hidden layers are taken over, and of its output layer the classes
        that the task knows too; new classes begin as with "kaiming". It is never changed, and `clone` keeps it.
    init_mean, init_scale : float, default=0.0 and None
        See `weight_init`.
    max_iter : int, default=200
        Largest number of epochs.
    tol : float or None, default=1e-4
        Training stops when the loss, or with `early_stopping` the validation score, has not become better by more than
        this for `n_iter_no_change` epochs; None never stops.
    n_iter_no_change : int, default=10
        See `tol`.
    early_stopping : bool, default=False
        Whether to watch the score (accuracy) on held-out rows, and to go back to the weights that were best on them.
    validation_fraction : float, default=0.1
        Share of the rows that `early_stopping` holds out, unless `fit` is given a validation set. They are stratified
        if there is one for each class; a class's only row is not held out.
    mixup : float, default=0.0
        Parameter of the Beta distribution from which each row's share against a random partner is drawn anew in each
        epoch; features and targets are mixed alike [3]_. 0 is off.
    feature_noise : float, default=0.0
        Standard deviation of the noise added to the features in each epoch; with sparse input only to stored entries.
    feature_dropout : float, default=0.0
        Probability, in [0, 1), with which an entry of a row is dropped in an epoch; the others grow accordingly.
    swa : float, default=None
        The weights after the epochs from this share of `max_iter` on, in [0, 1), are averaged [4]_; with
        `prune_schedule` not before pruning is complete. With `early_stopping` the average is taken only if it is at
        least as good on the held-out rows. Training that ends before there is anything to average warns: set
        ``tol=None``.
    prune_schedule : dict, default=None
        {"amount": share, "begin": epoch, "end": epoch}: while it trains, a growing share of the smallest weights of all
        layers together becomes zero and stays zero, up to `amount` at epoch "end" (`max_iter // 2` if left out); the
        epochs that follow fine-tune the rest. `tol` and `early_stopping` look at these alone.
    warm_start : bool, default=False
        Whether `fit` begins at the last solution if that has the same classes, features and layers.
    random_state : int, RandomState instance or None, default=None
        Seed of first weights, order of rows, dropout and augmentation. The same seed on the same device gives the same
        weights.
    device : str, default="auto"
        Where to train: "auto" (CUDA if there is one, else the CPU), "cpu", "cuda" or "cuda:1". Predictions are made
        with NumPy on the CPU.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (n_inputs, n_outputs)
        Weights of each layer; sparse or narrow after :func:`transferkit.compression.prune` and
        :func:`transferkit.compression.quantise`.
    intercepts_ : list of ndarray of shape (n_outputs,)
        Intercepts of each layer.
    scales_ : list or None
        Factors (n_outputs,) of the columns of weights that are kept as int8.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted; after a multilabel fit the numbers of the labels.
    multilabel_ : bool
        Whether y was an indicator matrix, so that each output answers for itself.
    n_iter_ : int
        Number of epochs.
    n_steps_ : int
        Number of steps that the optimiser has taken.
    loss_ : float
        Mean training loss of the last epoch, without the penalty.
    loss_curve_ : list of float
        Mean training loss of each epoch.
    validation_scores_ : list of float or None
        Score on the held-out rows after each epoch.
    history_ : dict of str to list
        "loss", "learning_rate" (at the begin), "batch_size" and "validation_score" of each epoch.
    learning_rate_init_ : float
        The first learning rate: the one given or found.
    learning_rate_curve_ : dict or None
        "learning_rate" and smoothed "loss" of each step of the range test.
    init_coverage_ : dict or None
        "classes_matched", "classes_new" and "classes_dropped" of a head given as `weight_init`.
    batch_norms_ : list or None
        Scale, shift, mean and variance (4, n_outputs) that were folded into each layer.
    compression_ : dict or None
        What :func:`transferkit.compression.prune` or :func:`transferkit.compression.quantise` saved, and at what cost.
    optimiser_state_ : list of ndarray or None
        What the optimiser remembers from one `partial_fit` to the next.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `fit` saw names that are all strings.

    See Also
    --------
    LogisticHead : The optimum of one linear layer with cross-entropy, found faster than by gradient steps.
    MLPHeadRegressor : The same for numbers.
    sklearn.neural_network.MLPClassifier : Fewer options, no GPU.

    Notes
    -----
    Gradients are computed in closed form, layer by layer, on parameters that lie in one piece of memory; no graph is
    recorded. The data stay on the device, and one number an epoch is read from it. On a GPU a whole step is one
    captured CUDA graph.

    Sparse input is never made dense: the first layer is a product of sparse rows, and a step changes only those rows of
    its weights (and of what the optimiser remembers of them) whose features occur in the batch. The penalty `alpha` and
    the decay of momenta therefore act on the weights of a rare feature only in the steps that see it, as in lazy Adam
    implementations elsewhere. With "gd" and "lbfgs", and where all features occur in each batch, there is no difference
    to dense input.

    float32 features are trained in float32, everything else in float64. Rows of weight zero are left out.

    Bring features to about unit scale: with others gradient steps learn slowly, or explode. Training that takes all
    `max_iter` epochs does not warn, since that is how most trainings in small batches end; `n_iter_` tells.

    `set_callbacks` takes scikit-learn's callbacks, such as ``ProgressBar()``: each epoch of `fit` is a task, and a
    callback that asks to stop ends the training.

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
        hidden_layer_sizes=(100,),
        *,
        activation="relu",
        dropout=0.0,
        batch_norm=False,
        loss="cross_entropy",
        focal_gamma=2.0,
        class_weight=None,
        label_smoothing=0.0,
        solver="adam",
        alpha=1e-4,
        momentum=0.9,
        clip_norm=None,
        clip_value=None,
        learning_rate_init=1e-3,
        learning_rate="constant",
        learning_rate_decay=0.5,
        learning_rate_epochs=10,
        warmup=0,
        batch_size="auto",
        batch_schedule="constant",
        batch_epochs=10,
        weight_init="kaiming",
        init_mean=0.0,
        init_scale=None,
        max_iter=200,
        tol=1e-4,
        n_iter_no_change=10,
        early_stopping=False,
        validation_fraction=0.1,
        mixup=0.0,
        feature_noise=0.0,
        feature_dropout=0.0,
        swa=None,
        prune_schedule=None,
        warm_start=False,
        random_state=None,
        device="auto",
    ):
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
    def fit(self, X, y, sample_weight=None, X_val=None, y_val=None):
        """Train on features and labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,), or {array-like, sparse matrix} of shape (n_samples, n_labels)
            Labels of at least two classes, or an indicator matrix of zeros and ones, several of which may be one
            in a row.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, not negative; 1 each if None.
        X_val, y_val : like X and y, default=None
            Validation set: scored after each epoch, and watched by `early_stopping` in the place of a share of X.

        Returns
        -------
        self : MLPHeadClassifier
            The fitted head.

        Raises
        ------
        DivergenceError
            If the loss or a weight is no longer a finite number, or the last steps made the loss explode.
        MemoryError
            If the device has too little memory.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train one more epoch, on a part of the data.

        Schedules of learning rate and batch size go on from one call to the next, each of which is an epoch;
        "cosine" and "one_cycle" end after `max_iter` epochs, and stay at their last rate, for "cosine" zero.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels, or an indicator matrix.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come; needed in the first call, unless y is an indicator matrix.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, not negative; 1 each if None.

        Returns
        -------
        self : MLPHeadClassifier
            The head, one epoch further.
        """
        if classes is None and not hasattr(self, "coefs_") and np.ndim(y) < 2 and not issparse(y):
            raise ValueError("The first partial_fit needs classes: all labels that will ever come.")
        if self.class_weight == "balanced":
            raise ValueError("partial_fit cannot balance classes that are yet to come: give class_weight as a dict.")
        return self._partial_fit(X, y, sample_weight, classes)

    def decision_function(self, X):
        """Return the outputs of the network before any link function.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            Scores; with two classes those of `classes_[1]`, positive where it is predicted.
        """
        scores = self._compute_outputs(X)
        return scores[:, 0] if scores.shape[1] == 1 and not self.multilabel_ else scores

    @available_if(lambda self: _has_probabilities(self))
    def predict_proba(self, X):
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
    def predict_log_proba(self, X):
        """Return the logarithm of each class's probability; not after the hinge loss.

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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _validate(self, X, y, reset=True):
        return super()._validate(X, check_labels(to_numpy(y)), reset)

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
            classes, labels, multilabel = read_targets(self, y)
        else:
            classes = given
            labels, multilabel = _encode_labels(y, classes, None if fitted is None else fitted["multilabel_"])
        check_has_classes(classes, self)
        if multilabel and self.class_weight is not None:
            raise ValueError("class_weight must be None when y is an indicator matrix.")
        weights = weigh_rows(X, classes, labels, self.class_weight, sample_weight)
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
        raise ValueError(f"y must be {kinds[multilabel]}, as at first. Got {kinds[several]} of shape {np.shape(y)}.")
    if several:
        indicators = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
        if indicators.shape[1] != len(classes):
            raise ValueError(f"y has {indicators.shape[1]} labels a row, and {len(classes)} were expected.")
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
        raise AttributeError("There are no probabilities after loss='hinge'. Choose loss='cross_entropy' for them.")
    return True
