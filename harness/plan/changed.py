"""Results whose content files have changed since (DESIGN 6).

The git commit is no part of a key: an author raises `version` when the meaning of a
method or a generator changes. A file that changed without that may or may not matter, so
nothing is computed again; whoever reads the results is told.
"""

from __future__ import annotations

from collections import Counter

from ..provenance import hash_sources
from .plan import Plan


def changed_sources(plan: Plan) -> list[str]:
    """Return a sentence per content file that differs from what published nodes ran.

    A manifest's `run` holds `sources`, {file: sha256}. Looks at what was published when
    the plan was made, so that the two agree.
    """
    keys = [*plan.pretrained]
    keys += [cell.evaluate_key for cell in plan.done]
    used: Counter[tuple[str, str]] = Counter()
    for key in dict.fromkeys(keys):
        sources = plan.published[key].run.get("sources") or {}
        used.update((str(name), str(digest)) for name, digest in sources.items())
    if not used:
        return []
    roots = plan.matrix.content.roots
    files = [
        root / name for root in roots for name in dict.fromkeys(n for n, _ in used)
    ]
    now = hash_sources(path for path in files if path.is_file())
    changed: Counter[str] = Counter()
    for (name, digest), count in used.items():
        if now.get(name) != digest:
            changed[name] += count
    return [
        f"{name} has changed since {count} of the published results were computed with "
        "it; if that changes what they mean, raise its version and run again"
        for name, count in sorted(changed.items())
    ]
