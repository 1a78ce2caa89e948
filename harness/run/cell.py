"""What a job executes: nodes in order, each published under its own key as it is done.

A node that is published already is passed over, one that fails leaves the others to go
on, and one whose inputs are not published is blocked. So a job that was killed, or is
run again after a fault was mended, repeats only what is missing.
"""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from .. import provenance
from ..nn import collective
from ..schema.errors import Exit, UserError
from ..schema.identity import key_of_identity, short
from ..store import Attempt, Store
from ..store.durable import is_full
from . import interrupts, ranks
from .adapt.implementation import implementation
from .evaluate import evaluate
from .keep import keep_only, waiting_for
from .node import Node
from .optimise import Diverged
from .pretrain import pretrain
from .ranks import Bystander
from .snapshots import discard


def run_nodes(results: str, keys: Sequence[str], *, threads: int) -> Exit:
    """Compute the nodes `keys` of a results folder, in this order, on this machine.

    Returns DONE when all are published, FAILED when any failed, else BLOCKED when any
    waits for an input that is not published. A node that could not even begin (no spec, a
    full disk) has no record that says why: its error is raised, after the others. Raises
    Interrupted where a signal asks to stop.
    """
    torch.set_num_threads(threads)
    store = Store(Path(results))
    ranks.join()
    device = ranks.device()
    outcomes: set[Exit] = set()
    kept_from: list[Exception] = []
    for key in keys:
        if collective.agreed(_needs_nothing(store, key, keys), device):
            continue
        try:
            outcomes.add(_run_node(store, key, device, keys))
        except Exception as error:
            if collective.world_size() > 1:
                raise  # ranks that no longer agree on what comes next cannot go on
            kept_from.append(error)
    if kept_from:
        raise kept_from[0]
    for worst in (Exit.FAILED, Exit.BLOCKED):
        if worst in outcomes:
            return worst
    return Exit.DONE


def _run_node(
    store: Store, key: str, device: torch.device, keys: Sequence[str]
) -> Exit:
    spec = store.spec(key)
    if key_of_identity(spec["identity"]) != spec["key"]:
        msg = f"{short(key)}/spec.json was changed: run again, which writes it anew"
        raise UserError(msg)
    node = Node(store, spec, _begin(store, spec), device)
    lacking = _missing_input(node)
    if collective.agreed(lacking is not None, device):
        if isinstance(node.attempt, Attempt):
            reason = f"{short(lacking or '')}, an input, is not published"
            node.attempt.fail("blocked", reason)
        return Exit.BLOCKED
    if not isinstance(node.attempt, Attempt):
        if _on_every_rank(node):
            _compute(node)
        return Exit.DONE
    try:
        with node.attempt as attempt:
            _compute(node)
            attempt.publish()
    except Exception as error:  # recorded by the attempt; the next node goes on
        _explain(node, error)
        if collective.world_size() > 1:
            raise
        return Exit.FAILED
    interrupts.progress.made = True
    discard(node.folder)
    keep_only(node, keys)
    return Exit.DONE


def _needs_nothing(store: Store, key: str, keys: Sequence[str]) -> bool:
    """Say whether a node is published with all that the other nodes want of it."""
    manifest = store.manifest(key)
    if manifest is None:
        return False
    return not manifest.removed or not waiting_for(store, key, keys)


def _begin(store: Store, spec: Mapping[str, Any]) -> Attempt | Bystander:
    """Register the attempt, on the rank that keeps the records."""
    if not ranks.leads():
        return Bystander()
    where = {"threads": torch.get_num_threads(), "ranks": collective.world_size()}
    made_by = _made_by(spec)
    attempt = store.begin(str(spec["key"]), where, made_by=made_by)
    attempt.note(sources=made_by["sources"])  # in the manifest, where readers look
    return attempt


def _on_every_rank(node: Node) -> bool:
    """Say whether a node's work is shared out; rank 0 evaluates and analyses alone."""
    kind = str(node.identity["kind"])
    if kind == "adapt":
        return implementation(str(node.identity["implementation"])).shared
    return kind not in ("evaluate", "analyse")


def _missing_input(node: Node) -> str | None:
    """Return an input that is not published whole, or None."""
    inputs = (str(key) for key in node.identity["inputs"].values())
    return next((key for key in inputs if not node.store.is_done(key)), None)


def _made_by(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance, with the content files that the node's result hangs on.

    Those of methods/NAME.py are methods/_NAME*.py, too, such as a system's own program.
    """
    family, _, stem = str(spec["identity"]["implementation"]).partition(".")
    wanted = [(family, stem)] if family == "methods" else []
    for task in spec["where"]["tasks"].values():
        if generator := task["format"].get("generator"):
            wanted.append(("tasks", str(generator)))
    roots = [Path(root) for root in spec["where"]["content"]]
    files = [root / kind / f"{name}.py" for kind, name in wanted for root in roots]
    for kind, name in wanted:
        files += [
            p for root in roots for p in sorted((root / kind).glob(f"_{name}*.py"))
        ]
    return provenance.collect(
        [path for path in files if path.is_file()], seeds=spec["identity"]["seeds"]
    )


def _compute(node: Node) -> None:
    gpu = node.device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    name = torch.cuda.get_device_name() if gpu else "cpu"
    node.attempt.note(device=name, threads=torch.get_num_threads())
    started = time.monotonic()
    kind = str(node.identity["kind"])
    if kind == "adapt":
        implementation(str(node.identity["implementation"])).adapt(node)
    elif kind == "analyse":
        import_module(f"{__package__}.represent.{node.stem}").analyse(node)
    else:
        {"pretrain": pretrain, "evaluate": evaluate}[kind](node)
    hours = (time.monotonic() - started) / 3600
    node.attempt.note(gpu_h=hours * collective.world_size() if gpu else 0.0)
    if gpu and (peak := torch.cuda.max_memory_allocated()):  # 0: a child did the work
        node.attempt.note(peak_gpu_mem=peak)


def _explain(node: Node, error: Exception) -> None:
    """Leave the reason in the attempt's log and on stderr, which the backends keep.

    Of an error that the user can mend the sentence goes first, and the traceback into
    the log alone.
    """
    trace = "".join(traceback.format_exception(error)).rstrip()
    mendable = isinstance(error, (UserError, Diverged)) or is_full(error)
    # The disk may be what failed; the attempt's record has the reason too.
    with contextlib.suppress(OSError):
        node.log(f"failed: {error}\n{trace}" if mendable else f"failed: {trace}")
    sys.stderr.write(f"{error if mendable else trace}\n")
