"""Algorithms on feature vectors and images, in NumPy.

`clusters` computes squared distances of samples to centres, with care for the digits of float32, and turns them into
features: "triangle", "distance", "soft" or "onehot". It serves k-means and self-organising maps, and holds the steps of
Kohonen's map. A *unit* has a weight vector and a place on a grid, its *coordinates*; the *best unit* of a sample is the
one with the nearest weights; the *neighbourhood* of two units, from their distance on the grid, determines how strongly
one follows if the other is best.

`patches` holds the steps before clustering: square windows cut from images that are given as rows of pixels
(:class:`PatchGrid`), normalisation of their contrast, and ZCA whitening, that is decorrelation of the features
(:class:`Preparation`). It also pools activations over the four quadrants of an image.

`class_proportions` estimates the shares of the classes in samples without labels. `coverage` chooses samples to which
all others are most similar (*facility location*). `digests` computes digests of samples, by which equal ones are
recognised.
"""
