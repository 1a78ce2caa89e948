"""Traps in what is hidden from the student and the teacher."""

from mutant import Mutant

MASKING, RULES = "harness/nn/masking.py", "harness/nn/mask_rules.py"
MAE, GENESIS = "methods/mae.py", "methods/models_genesis.py"

MASKS = [
    Mutant(
        "ratios are rounded down where they are to be rounded up", "METHODS 1.27",
        MASKING, "count = math.ceil(ratio * units - 1e-9)", "count = int(ratio * units)",
        "tests/nn/test_masking.py",
    ),
    Mutant(
        "a decision differs inside a mask unit", "METHODS 1.27", MASKING,
        "mask = mask.repeat_interleave(factor, dim=axis)",
        "mask = torch.cat([mask] * factor, dim=axis)",
        "tests/nn/test_masking.py", quick=True,
    ),
    Mutant(
        "hints overlap the mask", "METHODS 1.19, 6 #5", MASKING,
        "return ((rank >= hints) & (rank < counts)).view(attention.shape)",
        "return (rank < counts).view(attention.shape)",
        "tests/nn/test_mask_rules.py",
    ),
    Mutant(
        "the least attended units are hidden, not the most", "METHODS 1.16", MASKING,
        "rank = ranks(score if low else -score)", "rank = ranks(-score if low else score)",
        "tests/nn/test_mask_rules.py",
    ),
    Mutant(
        "drawn hints come from anywhere", "METHODS 1.16", MASKING,
        "pool = ranks(-score) < math.ceil(top * units)",
        "pool = ranks(-score) < units", "tests/nn/test_mask_rules.py",
    ),
    Mutant(
        "drawn hints stay hidden", "METHODS 1.16", MASKING,
        "return hidden & ~shown.view(hidden.shape)", "return hidden",
        "tests/nn/test_mask_rules.py",
    ),
    Mutant(
        "blocks overshoot", "METHODS 1.15", MASKING,
        "taken = (new > 0) & (new <= left) & (failures < _TRIES)",
        "taken = (new > 0) & (failures < _TRIES)", "tests/nn/test_mask_rules.py",
    ),
    Mutant(
        "blocks are scattered", "METHODS 1.27", MASKING,
        "return exact.round().clamp(min=1).minimum(sides)",
        "return torch.ones_like(exact)", "tests/nn/test_mask_rules.py",
    ),
    Mutant(
        "no sample stays whole", "METHODS 1.15", RULES,
        "counts = counts * chosen", "counts = counts * (chosen | True)",
        "tests/nn/test_mask_rules.py",
    ),
    Mutant(
        "AttMask's hints use the mask's own draw", "METHODS 1.16", RULES,
        "again = _ratios(settings, batch, rng) * settings.hints * units",
        "again = counts * settings.hints", "tests/nn/test_mask_rules.py",
    ),
    Mutant(
        "a share of 1 is allowed", "METHODS 1.19", RULES,
        "if not 0 < low <= high < 1:", "if not 0 < low <= high <= 1:",
        "tests/nn/test_mask_rules.py",
    ),
    Mutant(
        "MAE drops patches before their position is added", "METHODS 1.12",
        "harness/nn/vit.py",
        "tokens = (tokens + resized(self.positions, tokens.shape[1:-1])).flatten(1, -2)\n"
        "        tokens = tokens.gather(1, kept.unsqueeze(-1)"
        ".expand(-1, -1, tokens.shape[-1]))",
        "places = resized(self.positions, tokens.shape[1:-1]).flatten(1, -2)\n"
        "        tokens = tokens.flatten(1, -2)\n"
        "        tokens = tokens.gather(1, kept.unsqueeze(-1)"
        ".expand(-1, -1, tokens.shape[-1]))\n"
        "        tokens = tokens + places[:, : tokens.shape[1]]",
        "tests/nn/test_vit.py::"
        "test_encoding_all_patches_equals_the_whole_and_fewer_leaves_them_out",
    ),
    Mutant(
        "MAE's decoder puts patches into wrong places", "METHODS 1.12", MAE,
        "places = order.argsort(dim=1)[..., None]", "places = order[..., None]",
        "tests/methods/test_mae.py",
    ),
    Mutant(
        "MAE's decoder has no positions", "METHODS 1.12", MAE,
        "x = x + resized(self.positions, grid).flatten(1, -2)", "pass",
        "tests/methods/test_mae.py",
    ),
    Mutant(
        "MAE's loss is over visible patches, too", "METHODS 1.12", MAE,
        ".mean(dim=2)[hidden].mean()", ".mean()", "tests/methods/test_mae.py",
    ),
    Mutant(
        "a patch of background has no variance to divide by", "METHODS 1.12",
        "harness/nn/patches.py", "+ 1e-6).sqrt()", ").sqrt()",
        "tests/methods/test_mae.py",
    ),
    Mutant(
        "Models Genesis mirrors the input only", "METHODS 1.9", GENESIS,
        "seen = self.corrupt(x, rng)", "seen = self.corrupt(x.flip(2), rng)",
        "tests/methods/test_models_genesis.py",
    ),
    Mutant(
        "the student's view is filled as the noisy teacher's", "METHODS 6 #7",
        "methods/dagman.py", "s: _Seen = self.student(own, hidden, rng, rests",
        's: _Seen = self.student(own, hidden, rng, fill="zero", rests',
        "tests/methods/test_dagman.py",
    ),
    Mutant(
        "the noisy teacher's patches are dropped from the student", "METHODS 1.19",
        "methods/dagman.py", "hidden, overlap = self._mask(x, t, rng)  # (2B, *units)",
        "hidden, overlap = self._mask(x, t, rng)\n"
        "        hidden = hidden | random_units(len(x), hidden.shape[1:], 0.5, rng)",
        "tests/methods/test_dagman.py",
    ),
    Mutant(
        "the teacher sees nothing dropped", "METHODS 1.19", "methods/dagman.py",
        'seen = self.teacher(x, dropped, fill="zero")', "seen = self.teacher(x)",
        "tests/methods/test_dagman.py",
    ),
    Mutant(
        "SMIT's teacher sees the student's mask", "METHODS 1.18", "methods/smit.py",
        "t: _Seen = self.teacher(x)", "t: _Seen = self.teacher(x, hidden)",
        "tests/methods/test_smit.py",
    ),
    Mutant(
        "both views of SMIT share one mask", "METHODS 1.18", "methods/smit.py",
        "hidden = random_units(len(x), grid, cfg.mask_ratio, rng, device=x.device)",
        "hidden = random_units("
        "len(x) // 2, grid, cfg.mask_ratio, rng, device=x.device).repeat(2, 1, 1, 1)",
        "tests/methods/test_smit.py",
    ),
    Mutant(
        "3DINO masks every large view", "METHODS 1.20", "methods/dino3d.py",
        "masked = int(views * share)", "masked = views",
        "tests/methods/test_self_distillation.py",
    ),
    Mutant(
        "3DINO's mask ratios are not stratified", "METHODS 1.20", "methods/dino3d.py",
        "ratio[:masked] = low + (high - low) * (place + u) / max(1, masked)",
        "ratio[:masked] = low + (high - low) * u",
        "tests/methods/test_self_distillation.py",
    ),
    Mutant(
        "MST hides what is attended most", "METHODS 1.17", "methods/mst.py",
        "least = attended_units(attention, count, low=True)",
        "least = attended_units(attention, count)",
        "tests/methods/test_self_distillation.py",
    ),
]  # fmt: skip
