"""Traps in adapters, channels that pass alone, fusions and dilated stages."""

from mutant import Mutant

ADAPTER, CHANNELS = "harness/nn/adapter.py", "harness/nn/channels.py"
FUSION, RESNET = "harness/nn/fusion.py", "harness/nn/resnet.py"

ADAPTATION = [
    Mutant(
        "what is injected goes to the channels of another case", "METHODS 2.9", ADAPTER,
        "found.repeat_interleave(self.separate, dim=0)",
        "found.repeat(self.separate, 1, 1)", "tests/nn/test_adapter.py",
    ),
    Mutant(
        "injectors see the first channel alone", "METHODS 2.9", CHANNELS,
        "x.view(-1, channels, *x.shape[1:]).mean(dim=1)",
        "x.view(-1, channels, *x.shape[1:])[:, 0]", "tests/nn/test_adapter.py",
    ),
    Mutant(
        "channels of different cases are joined", "METHODS 2.9", CHANNELS,
        "return x.reshape(-1, channels * x.shape[1], *x.shape[2:])",
        "return x.view(channels, -1, *x.shape[1:]).transpose(0, 1).flatten(1, 2)",
        "tests/nn/test_adapter.py",
    ),
    Mutant(
        "injection begins at full strength", "METHODS 2.3", ADAPTER,
        "GAIN = 1e-6", "GAIN = 1.0", "tests/nn/test_adapter.py",
    ),
    Mutant(
        "spatial tokens do not know their level", "METHODS 2.3", ADAPTER,
        "each.flatten(2).transpose(1, 2) + level",
        "each.flatten(2).transpose(1, 2) + 0 * level", "tests/nn/test_adapter.py",
    ),
    Mutant(
        "the last group has no further extractors", "METHODS 2.3", ADAPTER,
        "EXTRA = 2", "EXTRA = 0", "tests/nn/test_adapter.py",
    ),
    Mutant(
        "vectors of a fusion keep the scales of their encoders", "METHODS 1.21", FUSION,
        "project(standardise(x))", "project(x)", "tests/nn/test_fusion.py",
    ),
    Mutant(
        "attention between vectors is not scaled", "METHODS 1.21", FUSION,
        "scale=d**-0.5", "scale=1.0", "tests/nn/test_fusion.py",
    ),
    Mutant(
        "shares of attention are those of who is seen", "METHODS 6 #25", FUSION,
        "blocks = weights.view(", "blocks = weights.t().reshape(",
        "tests/nn/test_fusion.py",
    ),
    Mutant(
        "a fusion reads one block of a ViT", "METHODS 1.21", "harness/run/fused.py",
        "return min(self.last_blocks, len(part.encoder.layer_widths))", "return 1",
        "tests/run/test_fused.py::test_published_sizes",
    ),
    Mutant(
        "dilated stages dilate alike", "METHODS 1.23", RESNET,
        "dilation=2 ** max(0, stage - halved + 1)",
        "dilation=2 if stage >= halved else 1", "tests/nn/test_resnet.py",
    ),
]  # fmt: skip
