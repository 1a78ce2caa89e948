"""Traps in the methods themselves: which view, which head, which target, which order."""

from mutant import Mutant

SMIT, DAGMAN, IBOT = "methods/smit.py", "methods/dagman.py", "methods/ibot.py"
TANG, SWAV, VOCO = "methods/swin_unetr.py", "methods/swav.py", "methods/voco.py"
MOCO, BYOL, CPC = "methods/moco_v3.py", "methods/byol.py", "methods/cpc.py"
SELF = "tests/methods/test_self_distillation.py"
TWO = "tests/methods/test_two_views.py"
TEACHERS = "tests/methods/test_teachers.py"
FOLLOWS = (
    "tests/run/test_training.py::"
    "test_a_method_is_told_the_global_step_and_follows_the_optimisers"
)
_IN_EPOCH = "momentum_at(step % 10, total, self.settings.momentum)"
_GLOBAL = "momentum_at(step, total, self.settings.momentum)"

METHODS = [
    Mutant(
        "SMIT's momentum follows the step in the epoch", "METHODS 1.18", SMIT,
        _GLOBAL, _IN_EPOCH, TEACHERS,
    ),
    *(
        Mutant(
            f"{name}'s momentum follows the step in the epoch", "METHODS 1.18",
            f"methods/{name}.py", _GLOBAL, _IN_EPOCH, TEACHERS,
        )
        for name in ("byol", "dagman", "dino", "dino3d", "ibot", "moco_v3", "mst")
    ),
    Mutant(
        "the engine counts steps by the epoch", "METHODS 1.18", "harness/run/pretrain.py",
        "method.step = step\n", "method.step = step % 2\n",
        FOLLOWS,
    ),
    Mutant(
        "the teacher moves before the optimiser's step", "METHODS 1.6",
        "harness/run/training.py",
        "stopping = self._step(self.done, objective, stop)\n"
        "                after_step(self.done)",
        "after_step(self.done)\n"
        "                stopping = self._step(self.done, objective, stop)",
        FOLLOWS,
    ),
    Mutant(
        "SMIT compares an image with its own view", "METHODS 1.18", SMIT,
        "other_view = p_image.roll(len(batch.volumes), dims=0)", "other_view = p_image",
        "tests/methods/test_smit.py",
    ),
    Mutant(
        "SMIT distils visible patches, too", "METHODS 1.18", SMIT,
        "mpd = soft_ce(s.patch, p_patch, cfg.student_temp, weight=hidden.flatten(1))",
        "mpd = soft_ce(s.patch, p_patch, cfg.student_temp)",
        "tests/methods/test_smit.py",
    ),
    Mutant(
        "SMIT's two views are one", "METHODS 1.18", SMIT,
        "[random_view(batch.volumes, cfg.crop, rng) for _ in range(2)]",
        "[random_view(batch.volumes, cfg.crop, rng)] * 2",
        "tests/methods/test_smit.py",
    ),
    Mutant(
        "SMIT's centres move inside the loss", "METHODS 0", SMIT,
        "other_view = p_image", "self.image_targets.update()\n"
        "        other_view = p_image", TEACHERS,
    ),
    Mutant(
        "SimCLR's two views are one", "METHODS 1.3", "methods/simclr.py",
        "torch.cat([cfg.views(batch.volumes, cfg.crop, rng) for _ in range(2)])",
        "torch.cat([cfg.views(batch.volumes, cfg.crop, rng)] * 2)", TWO,
    ),
    Mutant(
        "DAGMaN compares class tokens of one view", "METHODS 1.19", DAGMAN,
        "other = self.image_targets(t.image, temperature).roll(b, dims=0)[seen]",
        "other = self.image_targets(t.image, temperature)[seen]",
        "tests/methods/test_dagman.py",
    ),
    Mutant(
        "DAGMaN compares averages of one view", "METHODS 1.19", DAGMAN,
        "other = self.overall_targets(t.overall, temperature).roll(b, dims=0)[seen]",
        "other = self.overall_targets(t.overall, temperature)[seen]",
        "tests/methods/test_dagman.py",
    ),
    Mutant(
        "DAGMaN's losses share one centre", "METHODS 1.19", DAGMAN,
        "other = self.overall_targets(t.overall,", "other = self.image_targets(t.overall,",
        "tests/methods/test_dagman.py",
    ),
    Mutant(
        "DAGMaN's masks follow the clean pass", "METHODS 6 #3", DAGMAN,
        "attention = clean if guides else attention", "attention = clean",
        "tests/methods/test_dagman.py",
    ),
    Mutant(
        "iBOT's teacher sees the mask", "METHODS 1.15", IBOT,
        "t: _Seen = self.teacher(large)\n        hidden = self._mask(t.features, rng, "
        "large.device)  # (2B, *units)",
        "t: _Seen = self.teacher(large)\n        hidden = self._mask(t.features, rng, "
        "large.device)\n        t = self.teacher(large, hidden)", SELF,
    ),
    Mutant(
        "images and patches of iBOT share one centre", "METHODS 1.15", IBOT,
        "p_patch = self.patch_targets(z_t, temperature)",
        "p_patch = self.image_targets(z_t, temperature)", SELF,
    ),
    Mutant(
        "DINO's student misses the small views", "METHODS 1.14", "methods/dino.py",
        "if len(small):", "if False:", SELF,
    ),
    Mutant(
        "DINO exports the student", "METHODS 0", "methods/dino.py",
        "return self.teacher.encoder", "return self.student.encoder", TEACHERS,
    ),
    Mutant(
        "3DINO's KoLeo mixes both groups of views", "METHODS 1.20", "methods/dino3d.py",
        "spread = koleo(s.cls[:b]) + koleo(s.cls[b:])", "spread = koleo(s.cls)", SELF,
    ),
    Mutant(
        "MST restores hidden voxels only", "METHODS 1.17", "methods/mst.py",
        "(self.decoder(s.features.maps[-1]) - large).abs().mean()",
        "(self.decoder(s.features.maps[-1]) - large).abs().amax()", SELF,
    ),
    Mutant(
        "heads read tokens 0 and 1", "METHODS 1.10", TANG,
        "token_heads: bool = Field(\n        default=False",
        "token_heads: bool = Field(\n        default=True",
        "tests/methods/test_swin_unetr.py",
    ),
    Mutant(
        "the volume to restore is not turned", "METHODS 1.10", TANG,
        "x = turn_each(x, label, self.turns)\n        features = self.student("
        "self.corrupt(x, rng), rng=rng)",
        "features = self.student("
        "self.corrupt(turn_each(x, label, self.turns), rng), rng=rng)",
        "tests/methods/test_swin_unetr.py",
    ),
    Mutant(
        "the volume to restore is corrupted", "METHODS 1.10", TANG,
        "features = self.student(self.corrupt(x, rng), rng=rng)",
        "x = self.corrupt(x, rng)\n        features = self.student(x, rng=rng)",
        "tests/methods/test_swin_unetr.py",
    ),
    Mutant(
        "pasted donors are corrupted already", "METHODS 1.10", TANG,
        "donors = torch.cat([collective.moved_on(view) for view in x.chunk(2)])\n"
        "        changed = torch.where(noisy, (noise - low) / (high - low), x)",
        "changed = torch.where(noisy, (noise - low) / (high - low), x)\n"
        "        donors = torch.cat("
        "[collective.moved_on(view) for view in changed.chunk(2)])",
        "tests/methods/test_swin_unetr.py",
    ),
    Mutant(
        "a sample is its own donor", "METHODS 1.10", TANG,
        "torch.cat([collective.moved_on(view) for view in x.chunk(2)])", "x",
        "tests/methods/test_swin_unetr.py",
    ),
    Mutant(
        "a turn has the label of another", "METHODS 1.7", "methods/rotation.py",
        "turned = turn_each(x, label, self.turns)",
        "turned = turn_each(x, (label + 1) % cfg.ways, self.turns)",
        "tests/methods/test_rotation.py",
    ),
    Mutant(
        "quarter turns become mirrors", "METHODS 1.7", "harness/nn/orient.py",
        "return tuple(order), tuple(axis == first for axis in range(dims))",
        "return tuple(order), (False,) * dims", "tests/nn/test_orient.py",
    ),
    Mutant(
        "SwAV's prototypes have any length", "METHODS 1.4", SWAV,
        "directions = functional.normalize(self.prototypes.weight, dim=1)",
        "directions = self.prototypes.weight", "tests/methods/test_swav.py",
    ),
    Mutant(
        "SwAV predicts a view's assignment from itself", "METHODS 1.4", SWAV,
        "if v != i", "if v >= 0", "tests/methods/test_swav.py",
    ),
    Mutant(
        "the queue keeps its oldest codes", "METHODS 1.4", SWAV,
        "torch.cat([new, self.queue], dim=1)[:, :size]",
        "torch.cat([self.queue, new], dim=1)[:, :size]", "tests/methods/test_swav.py",
    ),
    Mutant(
        "the queue counts before it is full", "METHODS 1.4", SWAV,
        "int(self.filled) >= cfg.queue", "int(self.filled) >= 0",
        "tests/methods/test_swav.py",
    ),
    Mutant(
        "SwAV's prototypes do not rest at first", "METHODS 1.4", SWAV,
        "directions = directions.detach()", "pass", "tests/methods/test_swav.py",
    ),
    Mutant(
        "MoCo v3 trains the patch embedding", "METHODS 1.5", MOCO,
        "parameter.requires_grad = False", "pass", TWO,
    ),
    Mutant(
        "MoCo v3's loss lacks the factor 2T", "METHODS 1.5", MOCO,
        "scale = 2 * cfg.temperature", "scale = 1.0", TWO,
    ),
    Mutant(
        "MoCo v3 finds the key of the same view", "METHODS 1.5", MOCO,
        "info_nce(q1, k2, cfg.temperature) + info_nce(q2, k1, cfg.temperature)",
        "info_nce(q1, k1, cfg.temperature) + info_nce(q2, k2, cfg.temperature)", TWO,
    ),
    Mutant(
        "BYOL predicts the code of the same view", "METHODS 1.6", BYOL,
        "negative_cosine(q1, z2) + negative_cosine(q2, z1)",
        "negative_cosine(q1, z1) + negative_cosine(q2, z2)", TWO,
    ),
    Mutant(
        "the target of BYOL does not normalise by its batch", "METHODS 1.6", BYOL,
        "use_batch_statistics(self.teacher)", "pass", TWO,
    ),
    Mutant(
        "CPC's context sees the rows it predicts", "METHODS 1.8", CPC,
        "[*[1, 1] * sides, 1, 0]", "[*[1, 1] * sides, 0, 1]",
        "tests/methods/test_cpc.py",
    ),
    Mutant(
        "CPC predicts the row that it stands on", "METHODS 1.8", CPC,
        "place[:, k:].flatten()", "place[:, : rows - k].flatten()",
        "tests/methods/test_cpc.py",
    ),
    Mutant(
        "VoCo's labels do not sum to 1", "METHODS 1.27", VOCO,
        "per_axis.append((1 - gap / side).clamp(min=0))",
        "per_axis.append((1 - gap / (2 * side)).clamp(min=0))",
        "tests/methods/test_voco.py", quick=True,
    ),
    Mutant(
        "VoCo's cosines keep their sign", "METHODS 1.24", VOCO,
        "p = (targets @ bases.transpose(1, 2)).relu()",
        "p = targets @ bases.transpose(1, 2)", "tests/methods/test_voco.py",
    ),
    Mutant(
        "VoCo's logarithm is infinite", "METHODS 1.24", VOCO,
        "away = (1 - (y - p).abs() + 1e-6).log()", "away = (1 - (y - p).abs()).log()",
        "tests/methods/test_voco.py",
    ),
    Mutant(
        "VoCo reads the deepest skip, not the bottleneck", "METHODS 1.24",
        "harness/nn/levels.py", "*skips, _, deepest = features.maps",
        "*skips, deepest, _ = features.maps", "tests/methods/test_voco.py",
    ),
    Mutant(
        "VoCo's teacher norms by running statistics", "METHODS 1.24", VOCO,
        "use_batch_statistics(self.teacher)", "pass", "tests/methods/test_voco.py",
    ),
    Mutant(
        "iBOT hides from the first step on a Swin", "METHODS 1.15", "methods/ibot.py",
        "share = 1 / 6 if", "share = 0.0 if", "tests/methods/test_self_distillation.py",
    ),
    Mutant(
        "VoCo's base crops are compared with themselves", "METHODS 1.24", VOCO,
        "return pos, neg, alike[:, pairs].mean()", "return pos, neg, alike.mean()",
        "tests/methods/test_voco.py",
    ),
    Mutant(
        "the mask token is exported", "METHODS 1.27", "harness/run/checkpoint.py",
        'if not name.endswith("mask_token")', 'if name != "mask_tok"',
        "tests/run/test_cell.py",
    ),
    Mutant(
        "an encoder that fits in part is loaded", "METHODS 1.27",
        "harness/run/checkpoint.py", "    if faults:\n", "    if not have:\n",
        "tests/run/test_cell.py",
    ),
]  # fmt: skip
