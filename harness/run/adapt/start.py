"""What every adaptation starts from, and the model that it leaves."""

from __future__ import annotations

from typing import Any

from ...schema.protocols import PROTOCOLS, ProtocolSettings
from ...store import Store
from ..checkpoint import (
    encoder_state,
    load_weights,
    read_json,
    save_weights,
    write_json,
)
from ..networks import Adapted, Shape, network_of
from ..node import Node
from ..streams import Streams

INPUT = "encoder"  # the role of the pretrain node among an adapt node's inputs


def streams_of(node: Node) -> Streams:
    """Return the random streams that all arms with this data and seed share."""
    data, seeds = node.identity["data"], node.identity["seeds"]
    return Streams.of_adaptation(str(data["fingerprint"]), int(seeds["adapt"]))


def protocol_of(node: Node) -> ProtocolSettings:
    """Return the resolved protocol settings of an adapt node."""
    return PROTOCOLS[node.stem].model_validate(node.identity["settings"]["protocol"])


def build_network(node: Node, shape: Shape) -> Adapted:
    """Build the network, with the pretrained encoder where the node has one as input.

    Raises DataError unless every tensor of the encoder is found in the checkpoint.
    """
    network = network_of(node.stem, shape, streams_of(node))
    source = node.identity["inputs"].get(INPUT)
    if source is not None:
        path = node.store.file(str(source), "encoder.safetensors")
        load_weights(network.encoder, path, encoder_state(network.encoder))
        node.log(f"encoder of {str(source)[:16]} loaded, all tensors fit")
    return network.to(node.device)


def save_model(node: Node, network: Adapted, **about: Any) -> None:
    """Write model.safetensors, all tensors of the network, and model.json.

    A frozen encoder is written too, so that an evaluation needs this node alone. The
    channels are named in the order that the network takes them in. `about`: what
    selection chose, for people.
    """
    path = node.attempt.path("model.safetensors")
    digest = save_weights(path, network.state_dict())
    write_json(
        node.attempt.path("model.json"),
        {
            "key": node.key,
            "protocol": node.stem,
            "settings": node.identity["settings"],
            "channels": node.where["tasks"][node.task]["channels"],
            "sha256": digest,
            **about,
        },
    )


def load_model(store: Store, key: str) -> tuple[Adapted, Shape]:
    """Load the model of a published adapt node, in evaluation mode on the CPU."""
    about = read_json(store.file(key, "model.json"))
    shape = Shape.of(about["settings"])
    # Every weight is overwritten below.
    network = network_of(str(about["protocol"]), shape, Streams("loaded"))
    path = store.file(key, "model.safetensors")
    load_weights(network, path, network.state_dict())
    return network.eval(), shape
