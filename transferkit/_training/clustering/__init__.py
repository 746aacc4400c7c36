"""k-means on a CPU or GPU with torch.

`points` holds the data on a device, dense or sparse: :class:`Points` compute squared distances to centres, assign
points to the nearest centre, and sum the points of each cluster, a batch at a time. Dense points are shifted to their
mean, and `needs_float64` says when float32 has too few digits.

`kmeans` holds the algorithms. :func:`find_clusters` is Lloyd's algorithm on all points, from seeds chosen by k-means++
on a sample; Hamerly's bounds skip points whose assignment cannot change. :func:`update_clusters` is the mini-batch
update, :func:`merge_clusters` clusters the centres of two models.

For points in parts on several machines, :func:`choose_sample` and :func:`start_centres` choose the same seeds,
:func:`sum_clusters` computes the sums of one iteration over a part (:class:`ClusterSums`, which merge), and
:func:`move_centres` makes the step. Empty clusters are given the points farthest from their centres.
"""
