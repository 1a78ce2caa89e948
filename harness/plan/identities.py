"""Identities of nodes (DESIGN 6): their parts, each built and digested once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from ..matrix.matrix import Matrix, MethodEntry, TaskEntry
from ..schema.budget import LabelBudget
from ..schema.corpus import CorpusSpec
from ..schema.identity import digest
from ..schema.protocols import PRETRAIN_VERSION, ProtocolSettings
from ..schema.task import TaskSpec
from .data import Data


class Part(NamedTuple):
    """One part of an identity, as it is written and as it enters the key."""

    value: dict[str, Any]
    digest: str


class Parts:
    """The distinct parts of the identities of a matrix. Values are plain JSON."""

    def __init__(self, matrix: Matrix, data: Data) -> None:
        self.matrix = matrix
        self.data = data
        self._known: dict[Hashable, Part] = {}

    def _once(self, key: Hashable, build: Callable[[], dict[str, Any]]) -> Part:
        part = self._known.get(key)
        if part is None:
            value = build()
            part = self._known[key] = Part(value, digest(value))
        return part

    def seeds(self, role: str | None, seed: int | None) -> Part:
        """Return {role: seed}, or {} where the node draws nothing of its own."""
        return self._once(
            ("seeds", role, seed), lambda: {} if role is None else {role: seed}
        )

    def pretrain_seeds(self, seed: int | None) -> Part:
        """Return the seed of a pretraining, or {} where nothing is trained."""
        return self.seeds(None if seed is None else "pretraining", seed)

    def pretrain_settings(self, method: MethodEntry) -> Part:
        """Return the resolved settings of a method with the engine's version."""

        def build() -> dict[str, Any]:
            engine: dict[str, Any] = {
                "engine": PRETRAIN_VERSION,
                "channels": self._channels(method),
            }
            if method.role == "supervised":
                spec = self._first(method)
                # Of voxels: the label map's own structures, whatever regions join them.
                voxels = spec.kind == "segmentation"
                classes = len(spec.structures) + 1 if voxels else spec.classes
                engine["source"] = {"kind": spec.kind, "classes": classes}
            return {**method.settings, **engine}

        return self._once(("pretrain", method.name), build)

    def _channels(self, method: MethodEntry) -> int:
        if method.weights is not None:
            return method.channels or 1
        assert method.corpus is not None
        split = method.corpus.spec.channels == "split"
        return 1 if split else len(self._first(method).channels)

    def _first(self, method: MethodEntry) -> TaskSpec:
        """Return the first task that a method is trained on."""
        assert method.corpus is not None
        return self.data.listing(method.corpus.datasets[0]).spec

    def pretrain_data(self, method: MethodEntry) -> Part:
        """Return fingerprints and case digests of a corpus, or what a file holds."""

        def build() -> dict[str, Any]:
            if method.weights is not None:
                held = method.weights.sha256 or f"missing:{method.name}"
                return {"weights": held}
            assert method.corpus is not None
            return {
                "sources": [
                    {
                        "task": task,
                        "fingerprint": self.data.listing(task).fingerprint,
                        "cases": ids.digest,
                    }
                    for task, ids in self.data.corpus(method.corpus)
                ],
                **_rules(method.corpus.spec),
            }

        return self._once(("corpus", method.name), build)

    def adapt_work(self, method: MethodEntry, protocol: str) -> tuple[str, int]:
        """Return implementation and version of an adaptation: a system is its own."""
        if method.role == "system":
            return f"methods.{method.stem}", method.version
        entry = self.matrix.protocols[protocol]
        return f"protocols.{entry.base}", entry.settings.version

    def adapt_settings(
        self, method: MethodEntry, protocol: str, task: TaskEntry
    ) -> Part:
        """Return what an adaptation is told beside data and seed."""

        def of_system() -> dict[str, Any]:
            return {
                "system": dict(method.settings),
                "modality": task.spec.modality,
                "classes": task.spec.classes,
                "channels": len(task.spec.channels),
                "task_kind": task.spec.kind,
                **_regions(task.spec),
            }

        def build() -> dict[str, Any]:
            entry = self.matrix.protocols[protocol]
            return {
                "protocol": entry.settings.model_dump(mode="json"),
                **_networks(method, task),
                "crop": list(entry.crop_of(method, task)),
                "classes": task.spec.classes,
                "channels": len(task.spec.channels),
                "task_kind": task.spec.kind,
                **_regions(task.spec),
            }

        if method.role == "system":  # whatever protocol its cells stand under
            return self._once(("adapt", method.name, task.name), of_system)
        return self._once(("adapt", method.name, protocol, task.name), build)

    def adapt_data(
        self, task: TaskEntry, fold: int, budget: LabelBudget, subset_seed: int
    ) -> Part:
        """Return what a cell trains and validates on."""

        def build() -> dict[str, Any]:
            return {
                "fingerprint": self.data.listing(task.name).fingerprint,
                "train": self.data.subset(task.name, fold, budget, subset_seed).digest,
                "val": self.data.side(task.name, "val", fold).digest,
            }

        return self._once(("train", task.name, fold, budget, subset_seed), build)

    def evaluate_settings(
        self, method: MethodEntry, protocol: str, task: TaskEntry
    ) -> Part:
        """Return what an evaluation is told; a system has windows of its own."""
        system = method.role == "system"

        def build() -> dict[str, Any]:
            settings = None if system else self.matrix.protocols[protocol].settings
            return {
                "metrics": sorted(task.spec.metrics),
                "overlap": getattr(settings, "overlap", None),
                **_window(settings),
                "structures": dict(task.spec.structures),
                **_regions(task.spec),
                "task_version": task.spec.version,
            }

        place = ("evaluate", "" if system else protocol, task.name)
        return self._once(place, build)

    def evaluate_data(self, task: TaskEntry, fold: int) -> Part:
        """Return what a cell is tested on."""

        def build() -> dict[str, Any]:
            return {
                "fingerprint": self.data.listing(task.name).fingerprint,
                "test": self.data.side(task.name, "test", fold).digest,
            }

        return self._once(("test", task.name, fold), build)


def _networks(method: MethodEntry, task: TaskEntry) -> dict[str, Any]:
    """Return what an adaptation is told of the encoder, or of those that are joined."""
    if method.role == "fusion":
        members = [_networks(each, task) for each in method.members]
        return {"fusion": dict(method.settings), "members": members}
    own = method.channels_on(task)
    separate = own != len(task.spec.channels)
    return {
        "encoder": dict(method.encoder),
        **({"encoder_channels": own} if separate else {}),
    }


def _regions(spec: TaskSpec) -> dict[str, Any]:
    """Return what identities say of regions: nothing of a task that has none."""
    regions = [list(values) for values in spec.region_values]
    return {"regions": regions} if regions else {}


def _rules(corpus: CorpusSpec) -> dict[str, Any]:
    """Return the rules of a corpus that are followed once its voxels are there."""
    rules: dict[str, Any] = {}
    if corpus.channels == "split":
        rules["channels"] = corpus.channels
    if corpus.min_slices is not None:
        rules["min_slices"] = corpus.min_slices
    if corpus.exclude_content:
        rules["exclude_content"] = sorted(corpus.exclude_content)
    return rules


def identity(
    kind: str,
    implementation: str,
    version: int,
    parts: tuple[Part, Part, Part],
    inputs: dict[str, str],
) -> dict[str, Any]:
    """Return a node's identity as spec.json has it; parts: settings, data, seeds."""
    settings, data, seeds = parts
    return {
        "kind": kind,
        "implementation": implementation,
        "version": version,
        "settings": settings.value,
        "data": data.value,
        "seeds": seeds.value,
        "inputs": inputs,
    }


def _window(settings: ProtocolSettings | None) -> dict[str, Any]:
    """Return what an evaluation is told of its windows beside overlap, if anything."""
    names = ("window_weights", "window_padding")
    fields = type(settings).model_fields if settings is not None else {}
    return {
        name: value
        for name in names
        if name in fields and (value := getattr(settings, name)) != fields[name].default
    }
