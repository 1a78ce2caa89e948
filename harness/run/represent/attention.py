"""Analysis `attention`: how diverse an encoder's heads are, before and after."""

from __future__ import annotations

import torch

from ...schema.errors import DataError
from ..networks import Adapted
from ..node import Node
from .heads import AttentionSpread, layers_of, watching
from .networks import after, batches, before, choose_crops, settings_of, shape_of
from .write import write_features


def analyse(node: Node) -> None:
    """Compute an analyse node into its attempt's folder. Raises DataError."""
    rows = []
    for state, network in (("before", before(node)), ("after", after(node))):
        spread = _spread(node, network)
        found = list(spread.rows())
        if not found:
            msg = (
                "attention is not reported: every window of this encoder has fewer than "
                "8 tokens, too few for entropy to differ"
            )
            raise DataError(msg)
        rows += [
            (f"{state}.{layer}", quantity, value, n)
            for layer, quantity, value, n in found
        ]
    write_features(node, rows)


@torch.no_grad()
def _spread(node: Node, network: Adapted) -> AttentionSpread:
    settings, sides = settings_of(node), shape_of(node).crop
    if not layers_of(network.encoder):
        msg = f"a {network.encoder.settings.kind} has no attention to look at"
        raise DataError(msg)
    data = node.data()
    ids = data.check(node.where["cases"]["test"])
    crops = choose_crops(data, ids, sides, settings.samples)
    first = data.cached.index_of(crops[0].case_id)
    spread = AttentionSpread(data.cached.spacing(first))
    for x in batches(node, data, crops, sides, settings.batch):
        with watching(network.encoder, spread, sides):
            network.features(x)
    return spread
