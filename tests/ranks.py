"""Run a function in several processes that are joined by gloo."""

import multiprocessing
import traceback

import torch

from harness.nn import collective


def _child(rank, count, folder, work, results, received):
    torch.set_num_threads(1)
    try:
        collective.start(
            rank, count, backend="gloo", init_method=f"file://{folder}/meet"
        )
        results.put((rank, work(), None))
        collective.barrier()
        collective.stop()
        # Tensors travel as shared memory, which must outlive the way to the parent.
        received.wait(60)
    except Exception:
        results.put((rank, None, traceback.format_exc()))


def in_ranks(count, folder, work):
    """Return what `work()` returned on each rank; fail with the traceback of any."""
    fork = multiprocessing.get_context("fork")
    results, received = fork.Queue(), fork.Event()
    children = [
        fork.Process(target=_child, args=(rank, count, folder, work, results, received))
        for rank in range(count)
    ]
    for child in children:
        child.start()
    found = {}
    for _ in children:
        rank, value, problem = results.get(timeout=60)
        assert problem is None, problem
        found[rank] = value
    received.set()
    for child in children:
        child.join(timeout=60)
    return [found[rank] for rank in range(count)]
