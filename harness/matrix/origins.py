"""What the encoder of a method is made from, as its role says: corpus, labelled task."""

from __future__ import annotations

from ..registry.explain import unknown
from ..schema.corpus import CorpusSource, CorpusSpec
from ..schema.roles import Role
from .entries import Chain
from .matrix import Corpus
from .tasks import Corpora

# What an entry may say beside settings, by role, and why another may not.
_KEYS: dict[Role, frozenset[str]] = {
    "pretrained": frozenset({"corpus", "init", "allow_overlap"}),
    "supervised": frozenset({"source", "init", "allow_overlap"}),
}
_WHY = {
    "corpus": "is not pretrained",
    "source": "learns from no labels",
    "allow_overlap": "is trained on no data of its own",
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
    source = CorpusSource(task=task, cap=None)
    title = f"training side of {task}, with its labels"
    return Corpus(task, CorpusSpec(title=title, sources=(source,), exclude=()))


def allows_overlap(chain: Chain) -> bool:
    """Return whether an entry may share patients with its tasks; mistakes are noted."""
    said = chain.said("allow_overlap")
    if said is None:
        return False
    if not isinstance(said[1], bool):
        said[0].fault(("allow_overlap",), "allow_overlap: expected true or false")
        return False
    return said[1]
