"""Memory of predicting a large volume: what a few whole volumes take, no more."""

import subprocess
import sys

CLASSES, CHANNELS = 5, 1
# Peaks of a small and a large volume: what torch itself takes drops out of the slope.
PROGRAM = """
from functools import partial
from pathlib import Path
import numpy as np, torch
from harness.run.adapt.predict import labels_of
from harness.run.inference import Windows, sliding_window
from harness.volumes.grid import plan_grid, to_native
from harness.volumes.preprocess import to_unit

torch.set_num_threads(1)
network = torch.nn.Conv3d({channels}, {classes}, 1)

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = [line for line in lines if line.startswith("VmHWM")]
    return 1024 * int(found.split()[1])

@torch.no_grad()
def predict(side, spacing, regions):
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    shape = (side, side, side * 3 // 4)
    grid = plan_grid(shape, np.diag([-1.0, 1.0, 1.0, 1.0]), spacing)
    image = torch.from_numpy(to_unit(np.zeros(({channels}, *grid.shape), np.int16)))
    logits = sliding_window(network, image, Windows((32, 32, 32), 0.0))
    del image
    _, native = labels_of(
        logits, partial(to_native, grid=grid), regions=regions,
        resampled=grid.resampled,
    )
    assert native.shape[-3:] == shape
    return peak(), np.prod(shape)

predict(64, None, False)  # what a first use loads
for spacing, regions in ((None, False), ((2, 2, 2), True)):
    (small, few), (large, many) = (
        predict(side, spacing, regions) for side in (96, 208)
    )
    print((large - small) / (many - few))
"""


def test_a_large_volume_takes_a_few_volumes_of_memory():
    program = PROGRAM.format(channels=CHANNELS, classes=CLASSES)
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    same, coarser = map(float, done.stdout.split())  # bytes per voxel of the file
    # Image, weights and logits in 32 bits, and little else of their size.
    gathered = 4 * (CHANNELS + CLASSES + 1)
    assert 20 < same < gathered + 6, done.stdout  # a second copy of logits: 20 more
    # An eighth of that on a coarser grid; then one region at a time on the file's: its
    # two shares, what interpolating them takes, and the masks that are found.
    assert 20 < coarser < gathered / 8 + 6 * 4 + CLASSES, done.stdout
