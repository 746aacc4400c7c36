"""Total weights of classes, of labels and of probabilities."""

import numpy as np

from transferkit._algorithms.linear.targets import sum_class_weights


def test_total_weights_of_labels_and_of_their_indicators_are_equal():
    labels, weights = np.array([2, 0, 2, 0]), np.array([1.0, 2.0, 0.5, 0.0])
    np.testing.assert_array_equal(sum_class_weights(labels, weights, 4), [2, 0, 1.5, 0])
    np.testing.assert_array_equal(sum_class_weights(np.eye(4)[labels], weights, 4), [2, 0, 1.5, 0])
