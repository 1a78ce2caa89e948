"""Which weights of an adaptation stay on disk once it has been evaluated (`keep:`)."""

from __future__ import annotations

from collections.abc import Sequence

from ..schema.training import Keep
from ..store import Store
from .adapt.predict import ADAPT
from .node import Node

MODEL, LAST = "model.safetensors", "last.safetensors"


def keep_of(node: Node) -> Keep:
    """Return what the benchmark file says; no part of the node's identity."""
    return Keep.model_validate(node.where.get("keep", {}))


def waiting_for(store: Store, key: str, keys: Sequence[str]) -> list[str]:
    """Return those of `keys` that are not published and have node `key` as an input."""
    return [
        other
        for other in keys
        if other != key
        and not store.is_done(other)
        and key in store.spec(other)["identity"]["inputs"].values()
    ]


def keep_only(node: Node, keys: Sequence[str]) -> None:
    """Remove what is not kept of the model that a published evaluation was made of.

    keys: the nodes of this job; nothing goes while one of them still needs it. An
    evaluation of another job that is planned later trains the model anew.
    """
    chosen = keep_of(node).adapt
    if node.identity["kind"] != "evaluate" or chosen == "best":
        return
    adapt = str(node.identity["inputs"][ADAPT])
    manifest = node.store.manifest(adapt)
    if manifest is None or waiting_for(node.store, adapt, keys):
        return
    if chosen == "last" and LAST not in manifest.files:
        return  # a protocol whose model is the last one, too
    unwanted = [MODEL] if chosen == "last" else [MODEL, LAST]
    if gone := node.store.remove(adapt, unwanted):
        node.log(f"removed {', '.join(gone)} of {adapt[:16]} (keep: {chosen})")
