"""Analysis `attention`: how diverse an encoder's heads are, before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...schema.errors import DataError
from ..measured import Measured, write_features
from ..node import Node
from .explicit_attention import layers_of
from .heads import LEAST_KEYS, AttentionSpread, watching
from .networks import after, batches, before, choose_crops, settings_of, shape_of


@torch.no_grad()
def analyse(node: Node) -> None:
    """Write features.parquet and attention.npz: the same of stages, batch by batch.

    Raises DataError.
    """
    settings, sides = settings_of(node), shape_of(node).crop
    data = node.data()
    ids = data.check(node.where["cases"]["test"])
    crops = choose_crops(data, ids, sides, settings.samples)
    spacings = [
        data.cached.spacing(data.cached.index_of(crop.case_id)) for crop in crops
    ]
    rows: list[Measured] = []
    arrays: dict[str, Any] = {}
    for state, network in (("before", before(node)), ("after", after(node))):
        if not layers_of(network.encoder):
            msg = f"a {network.encoder.settings.kind} has no attention to look at"
            raise DataError(msg)
        spread, seen = AttentionSpread(()), 0
        with watching(network.encoder, spread, sides):
            for x in batches(node, data, crops, sides, settings.batch):
                spread.spacing = spacings[seen : seen + len(x)]
                seen += len(x)
                network.features(x)
        rows += [row._replace(layer=f"{state}.{row.layer}") for row in spread.rows()]
        stages, of_batches = spread.by_batch()
        arrays[f"{state}.stages"] = np.array(stages, dtype=np.str_)
        arrays |= {f"{state}.{name}": v.numpy() for name, v in of_batches.items()}
    if not rows:
        msg = (
            "attention is not reported: every window of this encoder has fewer than "
            f"{LEAST_KEYS} tokens, too few for entropy to differ"
        )
        raise DataError(msg)
    write_features(node, rows)
    np.savez_compressed(node.attempt.path("attention.npz"), **arrays)
