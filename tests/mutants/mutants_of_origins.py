"""Traps in encoders from labels and from files."""

from mutant import Mutant

LAYOUTS, FOREIGN = "harness/nn/layouts.py", "harness/nn/foreign.py"
OVERLAP, TAUGHT = "harness/plan/overlap.py", "methods/supervised.py"
FILES = "tests/methods/test_checkpoint.py"

ORIGINS = [
    Mutant(
        "MONAI's corners are taken for TransMorph's", "METHODS 0", LAYOUTS,
        '"monai": (0, 4, 2, 1, 6, 5, 3, 7)', '"monai": (0, 4, 2, 1, 6, 3, 5, 7)', FILES,
    ),
    Mutant(
        "weights from before MONAI 1.5 merge all corners", "METHODS 0",
        "harness/nn/swin.py", 'self.legacy = settings.merging == "legacy"',
        "self.legacy = False", FILES,
    ),
    Mutant(
        "the class token's position stays among the patches'", "METHODS 1.20", LAYOUTS,
        'found["positions"] = positions[:, 1:]', 'found["positions"] = positions[:, :-1]',
        FILES,
    ),
    Mutant(
        "a linear patch embedding is reshaped with channels first", "METHODS 1.11",
        LAYOUTS, "stem.reshape(len(stem), *sides, -1).movedim(-1, 1)",
        "stem.reshape(len(stem), -1, *sides)", FILES,
    ),
    Mutant(
        "too few tensors are taken", "METHODS 1.27", FOREIGN,
        "if self.share >= least:", "if self.share >= 0:", FILES,
    ),
    Mutant(
        "labels are cut elsewhere than their image", "METHODS 1.2", TAUGHT,
        "x, y = both[:, :-1], both[:, -1]",
        "x, y = both[:, :-1], both[:, -1].roll(1, dims=-1)",
        "tests/methods/test_supervised.py", quick=True,
    ),
    Mutant(
        "patients of any two datasets are compared by id", "METHODS 1.2", OVERLAP,
        "if _origin(one.spec) != _origin(other.spec):", "if False:",
        "tests/plan/test_overlap.py",
    ),
]  # fmt: skip
