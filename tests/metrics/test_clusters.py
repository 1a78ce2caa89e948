import numpy as np
import pytest

from harness.metrics import clusters

# Three classes at the corners of a 3-4-5 triangle, two points each, 1 from the corner.
Y = np.array([0, 0, 1, 1, 4, 4])
X = np.array([[-1, 0], [1, 0], [2, 0], [4, 0], [0, 3], [0, 5]], dtype=np.float64)


def test_distances_within_classes_are_to_their_centres():
    assert clusters.within(X, Y) == (1.0, 0.0, 6)


def test_distances_between_classes_are_those_of_all_pairs_of_centres():
    found = clusters.between(X, Y)
    assert found.mean == pytest.approx(4)
    assert found.sd == pytest.approx(np.std([3, 4, 5]))
    assert found.n == 3


def test_clusters_that_are_classes_are_recovered():
    far = X * 0.1 + np.repeat([[0, 0], [50, 0], [0, 50]], 2, axis=0)
    assert clusters.recovered(far, Y, 0) == pytest.approx(1)
    assert clusters.silhouette(far, Y, 0) > 0.9
    mixed = np.array([0, 1, 0, 1, 0, 1])
    assert clusters.silhouette(far, mixed, 0) < 0
    assert clusters.recovered(far, mixed, 0) < 0.5


def test_one_class_has_nothing_between():
    one = np.zeros(6, dtype=int)
    assert clusters.between(X, one) is None
    assert clusters.silhouette(X, one, 0) is None
    assert clusters.recovered(X, one, 0) is None
    assert clusters.within(X, one).n == 6
