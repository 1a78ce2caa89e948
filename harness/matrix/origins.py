"""What the encoder of a method is made from, as its role says: corpus, task or file."""

from __future__ import annotations

from collections.abc import Mapping

from ..registry.content import Content
from ..registry.describe import File, describe
from ..registry.explain import unknown
from ..registry.weights import Weights, find_weights
from ..registry.yamlwords import brief
from ..schema.corpus import CorpusSource, CorpusSpec
from ..schema.roles import Role
from .entries import Chain
from .matrix import Corpus, MethodEntry
from .tasks import Corpora

# What an entry may say beside settings, by role, and why another may not.
_KEYS: dict[Role, frozenset[str]] = {
    "pretrained": frozenset({"corpus", "init", "allow_overlap"}),
    "supervised": frozenset({"source", "init", "allow_overlap"}),
    "checkpoint": frozenset({"weights", "sha256", "allow_overlap"}),
}
_WHY = {
    "corpus": "is not pretrained",
    "source": "learns from no labels",
    "allow_overlap": "is trained on no data of its own",
    "weights": "reads no file of weights",
    "sha256": "reads no file of weights",
}


def trained_on(
    chain: Chain, role: Role, corpora: Corpora
) -> tuple[bool, Corpus | None]:
    """Return whether all is right, and what the method is trained on, if anything.

    Of a supervised method that is its labelled source. What is wrong is noted.
    """
    good = True
    for key, why in _WHY.items():
        said = chain.said(key)
        if said is not None and key not in _KEYS.get(role, ()):
            said[0].fault((key,), f"{chain.name} {why}: remove {key!r}")
            good = False
    if not good:
        return False, None
    if role == "pretrained":
        corpus = _corpus(chain, corpora)
        return corpus is not None, corpus
    if role == "supervised":
        corpus = _source(chain, corpora)
        return corpus is not None, corpus
    return True, None


def _corpus(chain: Chain, corpora: Corpora) -> Corpus | None:
    own = chain.said("corpus")
    if own is not None:
        return corpora.read(own[1], own[0], ("corpus",))
    if corpora.document.data.get("corpus") is not None:
        return corpora.default  # if None, its mistake has been noted
    message = "needs a corpus to be pretrained on: set 'corpus' here or at the top"
    chain.layers[-1].fault((), f"{chain.name} {message}")
    return None


def _source(chain: Chain, corpora: Corpora) -> Corpus | None:
    own = chain.said("source")
    if own is None:
        message = "learns from a labelled task: set 'source: TASK'"
        chain.layers[-1].fault((), f"{chain.name} {message}")
        return None
    layer, task = own
    known = corpora.content.names("tasks")
    if not isinstance(task, str) or task not in known:
        layer.fault(("source",), unknown("task", str(task), known))
        return None
    spec = corpora.task(task)
    if spec is not None and spec.kind == "unlabelled":
        layer.fault(
            ("source",), f"{task} has no labels to learn from: name another task"
        )
        return None
    source = CorpusSource(task=task, cap=None)
    title = f"training side of {task}, with its labels"
    return Corpus(task, CorpusSpec(title=title, sources=(source,), exclude=()))


def weights_of(chain: Chain) -> Weights | None:
    """Return the file of an imported encoder; None after noting what is wrong.

    That the file is not there is no mistake: it may be on another machine.
    """
    said = chain.said("weights")
    if said is None:
        message = "has no file to read: set 'weights: PATH', or a URL"
        chain.layers[-1].fault((), f"{chain.name} {message}")
        return None
    layer, named = said
    if not isinstance(named, str):
        layer.fault(
            ("weights",), f"weights: expected a path or URL, not {brief(named)}"
        )
        return None
    stated = chain.said("sha256")
    try:
        return find_weights(
            named,
            None if stated is None else str(stated[1]),
            layer.document.path.absolute().parent,
            chain.name,
        )
    except ValueError as error:
        of_digest = stated is not None and "sha256" in str(error)
        where, key = (
            (stated[0], "sha256") if stated and of_digest else (layer, "weights")
        )
        where.fault((key,), str(error))
        return None


def check_files(
    found: Mapping[str, tuple[Chain, MethodEntry]], content: Content
) -> None:
    """Read every file of weights that is there; note what is wrong with it."""
    asked = [
        (chain, File(entry.stem, entry.settings, entry.channels or 1,
                     str(entry.weights.path), entry.weights.sha256 or ""))
        for chain, entry in found.values()
        if entry.weights is not None and entry.weights.problem is None
    ]  # fmt: skip
    if not asked:
        return
    answer = describe(content, [], [], [file for _, file in asked])
    for (chain, _), fault in zip(asked, answer.faults, strict=True):
        said = chain.said("weights")
        if fault is not None and said is not None:
            said[0].fault(("weights",), f"{chain.name}: {fault}")


def allows_overlap(chain: Chain) -> bool:
    """Return whether an entry may share patients with its tasks; mistakes are noted."""
    said = chain.said("allow_overlap")
    if said is None:
        return False
    if not isinstance(said[1], bool):
        said[0].fault(("allow_overlap",), "allow_overlap: expected true or false")
        return False
    return said[1]
