"""Swin or ViT, forward and backward, against MONAI's at equal settings.

    python benchmarks/encoders.py --window 7 --side 96 --repeats 3
    python benchmarks/encoders.py --encoder vit --patch 16

Both sides run in one go, each in a process of its own, taking turns, so that whatever
else the machine does meets both. Prints seconds (median), growth of the peak memory and
the ratios; only the ratios carry over to other machines.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DEPTHS, HEADS = (2, 2, 2, 2), (3, 6, 12, 24)
KIB = 1024 if sys.platform != "darwin" else 1  # ru_maxrss: KiB on Linux, bytes on macOS


def swin(side: str, options: argparse.Namespace) -> Any:
    """Return a function from a volume to the bottleneck map."""
    width, window = options.width, options.window
    if side == "monai":
        from monai.networks.nets.swin_unetr import SwinTransformer

        theirs = SwinTransformer(
            in_chans=1,
            embed_dim=width,
            window_size=(window,) * 3,
            patch_size=(2, 2, 2),
            depths=DEPTHS,
            num_heads=HEADS,
        )
        return lambda x: theirs(x)[-1]
    import torch

    from harness.nn.swin import Swin, SwinSettings

    settings = SwinSettings(
        width=width,
        depths=DEPTHS,
        heads=HEADS,
        window=window,
        patch_norm=False,
        drop_path=0.0,
    )
    ours = Swin(settings, 1, torch.Generator().manual_seed(0))
    return lambda x: ours(x).maps[-1]


def vit(side: str, options: argparse.Namespace) -> Any:
    """Return a function from a volume to the tokens of the last block, of ViT-S1."""
    if side == "monai":
        from monai.networks.nets.vit import ViT

        theirs = ViT(
            in_channels=1,
            img_size=(options.side,) * 3,
            patch_size=(options.patch,) * 3,
            hidden_size=768,
            mlp_dim=4 * 768,
            num_layers=12,
            num_heads=8,
            proj_type="conv",
            qkv_bias=True,
            classification=True,
        )
        theirs.classification_head = torch_identity()
        return lambda x: theirs(x)[0]
    import torch

    from harness.nn.settings import ViTSettings
    from harness.nn.vit import ViT as Ours

    settings = ViTSettings(
        patch=options.patch, positions=options.side // options.patch, drop_path=0.0
    )
    ours = Ours(settings, 1, torch.Generator().manual_seed(0))
    return lambda x: ours(x).maps[-1]


def torch_identity() -> Any:
    """Return a layer that does nothing, in place of one that has no peer here."""
    import torch

    return torch.nn.Identity()


def serve(side: str, options: argparse.Namespace) -> None:
    """Child process: one pass for each line on stdin, answered by one line of JSON."""
    import torch

    torch.set_num_threads(options.threads)
    network = {"swin": swin, "vit": vit}[options.encoder](side, options)
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(options.batch, 1, *[options.side] * 3, generator=rng)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in sys.stdin:
        start = time.perf_counter()
        with torch.set_grad_enabled(not options.inference):
            y = network(x)
        if not options.inference:
            y.square().mean().backward()
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        growth = (peak - before) * KIB / 2**20
        print(json.dumps({"seconds": seconds, "growth_mb": growth}), flush=True)


def measure(options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Let the two children take turns; the first turn of each only warms up."""
    children = {}
    for side in ("monai", "harness"):
        command = [sys.executable, "-W", "ignore", __file__, *sys.argv[1:]]
        children[side] = subprocess.Popen(
            [*command, "--serve", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
    found: dict[str, list[dict[str, float]]] = {side: [] for side in children}
    for turn in range(options.repeats + 1):
        for side, child in children.items():
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write("\n")
            child.stdin.flush()
            answer = json.loads(child.stdout.readline())
            if turn:
                found[side].append(answer)
    for child in children.values():
        child.communicate()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--encoder", choices=("swin", "vit"), default="swin")
    parser.add_argument("--patch", type=int, default=16, help="of a vit, voxels")
    parser.add_argument("--side", type=int, default=96, help="voxels per side")
    parser.add_argument("--window", type=int, default=7, help="tokens per side")
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--inference", action="store_true", help="no gradient")
    parser.add_argument("--serve", choices=("monai", "harness"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        sys.path.insert(0, str(ROOT))
        serve(options.serve, options)
        return
    found = measure(options)
    seconds = {s: statistics.median(r["seconds"] for r in found[s]) for s in found}
    memory = {s: max(r["growth_mb"] for r in found[s]) for s in found}
    what = f"Swin, C={options.width}, window {options.window}"
    if options.encoder == "vit":
        what = f"ViT, 12 blocks of 768, patch {options.patch}"
    print(
        f"{what}, {'forward' if options.inference else 'forward + backward'}, "
        f"{options.side}^3, "
        f"batch {options.batch}, {options.threads} threads, {options.repeats} repeats"
    )
    for side in found:
        print(f"  {side:8s} {seconds[side]:7.2f} s   peak +{memory[side]:6.0f} MB")
    print(
        f"  {seconds['monai'] / seconds['harness']:.2f}x MONAI's speed, "
        f"{memory['harness'] / memory['monai']:.2f}x its peak memory growth"
    )


if __name__ == "__main__":
    main()
