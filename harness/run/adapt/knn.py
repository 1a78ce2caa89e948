"""k nearest neighbours on vectors of a frozen encoder (METHODS 2.8).

Nothing is trained. The training cases' vectors are the model; k is what validation
finds best. Scores of every k are in features.parquet.
"""

from __future__ import annotations

from ...nn.neighbours import Neighbours
from ...schema.protocols import Knn
from ..measured import Measured, write_features
from ..networks import Adapted, Shape
from ..node import Node
from ..probes import NeighbourProbe
from .implementation import Implementation
from .probe import ProbePredictor, keep_gap, sides, validation
from .start import build_network, protocol_of, save_model


def knn(node: Node) -> None:
    """Compute an adapt node of protocol `knn` into its attempt's folder."""
    protocol = protocol_of(node)
    assert isinstance(protocol, Knn)
    shape = Shape.of(node.identity["settings"])
    data = node.data()
    network = build_network(node, shape)
    assert isinstance(network, Adapted)
    train, val = sides(node, data, network, shape)
    x, y = train.vectors.pooled, train.y
    scores: dict[int, float | None] = {}
    right: dict[int, int] = {}
    for k in dict.fromkeys(min(each, len(y)) for each in sorted(protocol.k)):
        head = Neighbours(
            x.shape[1], len(y), shape.classes, k=k, temperature=protocol.temperature
        )
        head.remember(x, y)
        logits = head(val.vectors.pooled)
        scores[k] = validation(logits, val.y)[0]
        right[k] = int((logits.argmax(dim=1) == val.y).sum())
    best = _best(scores, right)
    node.log(f"kept k = {best} of {', '.join(map(str, scores))}")
    chosen = {"k": best, "count": len(y)}
    network = build_network(node, shape, **chosen)
    assert isinstance(network, NeighbourProbe)
    network.head.remember(x, y)
    node.attempt.note(trainable_params=0, n_train=len(y))
    _write_scores(node, scores, right, len(val.y))
    save_model(node, network, chosen=chosen)


def _best(scores: dict[int, float | None], right: dict[int, int]) -> int:
    """Return the best k: by AUC, then by cases that are right, then the smallest."""

    def rank(k: int) -> tuple[float, int, int]:
        score = scores[k]
        return (-float("inf") if score is None else score, right[k], -k)

    return max(scores, key=rank)


def _write_scores(
    node: Node, scores: dict[int, float | None], right: dict[int, int], n: int
) -> None:
    rows = [Measured("pooled", f"val auc k={k}", s, n) for k, s in scores.items()]
    rows += [
        Measured("pooled", f"val accuracy k={k}", found / n, n)
        for k, found in right.items()
    ]
    write_features(node, rows)


IMPLEMENTATION = Implementation(knn, ProbePredictor, keeps=keep_gap)
