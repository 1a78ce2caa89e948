"""What every adaptation starts from, and the model that it leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ...schema.protocols import PROTOCOLS, ProtocolSettings
from ...store import Store
from ..checkpoint import (
    encoder_state,
    load_weights,
    read_json,
    save_weights,
    write_json,
)
from ..fused import Fused, FusedShape
from ..networks import (
    Adapted,
    AdapterSegmenter,
    Classifier,
    LinearSegmenter,
    Model,
    Segmenter,
    Shape,
    TaskShape,
)
from ..node import Node
from ..probes import CentreProbe, LinearProbe, NeighbourProbe, PatchProbe
from ..streams import Streams

INPUT = "encoder"  # the role of the pretrain node among an adapt node's inputs
_OWN: dict[str, Callable[..., Adapted]] = {
    "linear_probe": LinearProbe,
    "knn": NeighbourProbe,
    "cluster": CentreProbe,
    "linear_decoder": LinearSegmenter,
    "patch_probe": PatchProbe,
    "frozen_adapter": AdapterSegmenter,
}


def streams_of(node: Node) -> Streams:
    """Return the random streams that all arms with this data and seed share."""
    data, seeds = node.identity["data"], node.identity["seeds"]
    return Streams.of_adaptation(str(data["fingerprint"]), int(seeds["adapt"]))


def protocol_of(node: Node) -> ProtocolSettings:
    """Return the resolved protocol settings of an adapt node."""
    return PROTOCOLS[node.stem].model_validate(node.identity["settings"]["protocol"])


def shape_of(settings: Mapping[str, Any]) -> Shape | FusedShape:
    """Read `settings` of an adapt node's identity."""
    return (FusedShape if "members" in settings else Shape).of(settings)


def network_of(
    protocol: str,
    shape: TaskShape,
    streams: Streams,
    chosen: Mapping[str, Any] | None = None,
) -> Model:
    """Return the network that a protocol trains, with its first weights.

    chosen: what an adaptation decided about its network (`chosen` of model.json).
    """
    if isinstance(shape, FusedShape):
        return Fused(shape, streams)
    assert isinstance(shape, Shape)
    if protocol in _OWN:
        return _OWN[protocol](shape, streams, **(chosen or {}))
    kind = Segmenter if shape.task_kind == "segmentation" else Classifier
    return kind(shape, streams)


def build_network(node: Node, shape: TaskShape, **chosen: Any) -> Model:
    """Build the network, with the pretrained encoders that the node has as inputs.

    chosen: as network_of has it. Raises DataError unless every tensor of an encoder is
    found in its checkpoint.
    """
    network = network_of(node.stem, shape, streams_of(node), chosen)
    inputs = node.identity["inputs"]
    if isinstance(network, Fused):
        for number, part in enumerate(network.parts):
            _load(node, part.encoder, str(inputs[f"{INPUT}.{number}"]))
    elif INPUT in inputs:
        _load(node, network.encoder, str(inputs[INPUT]))
    return network.to(node.device)


def _load(node: Node, encoder: nn.Module, source: str) -> None:
    path = node.store.file(source, "encoder.safetensors")
    load_weights(encoder, path, encoder_state(encoder))
    node.log(f"encoder of {source[:16]} loaded, all tensors fit")


def save_model(node: Node, network: Model, **about: Any) -> None:
    """Write model.safetensors, all tensors of the network, and model.json.

    A frozen encoder is written too, so that an evaluation needs this node alone. The
    channels are named in the order that the network takes them in. `about`: what
    selection chose: `chosen` for network_of, the rest for people.
    """
    if isinstance(network, Adapted):
        size = sum(each.numel() for each in network.encoder.parameters())
        node.attempt.note(encoder_params=size)
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


def load_model(store: Store, key: str) -> tuple[Model, TaskShape]:
    """Load the model of a published adapt node, in evaluation mode on the CPU."""
    about = read_json(store.file(key, "model.json"))
    shape = shape_of(about["settings"])
    # Every weight is overwritten below.
    network = network_of(
        str(about["protocol"]), shape, Streams("loaded"), about.get("chosen")
    )
    path = store.file(key, "model.safetensors")
    load_weights(network, path, network.state_dict())
    return network.eval(), shape
