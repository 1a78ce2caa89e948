"""Training in 64 bits, so that rounding can neither hide nor feign a difference."""

import contextlib
from unittest import mock

import torch

from harness.run.adapt import batches
from harness.volumes.crops import Crops, CropSampler

sample, image = CropSampler.sample, batches.case_image


def _sample(self, *args):
    crops = sample(self, *args)
    return Crops(crops.images.double(), crops.labels, crops.case_ids, crops.drawn)


def _image(*args):
    return image(*args).double()


@contextlib.contextmanager
def in_64_bits():
    """Within this block data comes as float64, and new networks are float64."""
    before = torch.get_default_dtype()
    with contextlib.ExitStack() as patched:
        patched.enter_context(mock.patch.object(CropSampler, "sample", _sample))
        for module in ("adapt.classify", "adapt.predict"):
            name = f"harness.run.{module}.case_image"
            patched.enter_context(mock.patch(name, _image))
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def run_nodes(results, keys, *, threads):
    """A job's runner: 'tests.exact:run_nodes'."""
    from harness.run.cell import run_nodes

    with in_64_bits():
        return run_nodes(results, keys, threads=threads)
