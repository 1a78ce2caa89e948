"""Traps in what methods share: losses, targets, teacher, encoders, training."""

from mutant import Mutant

DISTIL, LOSSES = "harness/nn/distil.py", "harness/nn/losses.py"
CONTRAST, EMA, HEADS = (
    "harness/nn/contrast.py",
    "harness/nn/ema.py",
    "harness/nn/heads.py",
)
VIEWS, SWIN, VIT = "harness/nn/views.py", "harness/nn/swin.py", "harness/nn/vit.py"
TRANSFORMER, OPTIMISE = "harness/nn/transformer.py", "harness/run/optimise.py"
DEFORMABLE = "harness/nn/deformable.py"
CORRUPT, SPREAD = "harness/nn/corrupt.py", "harness/nn/spread.py"

PARTS = [
    Mutant(
        "the teacher drops paths as in training", "METHODS 1.18", EMA,
        "return super().train(mode=False)", "return super().train(mode)",
        "tests/nn/test_ema.py", quick=True,
    ),
    Mutant(
        "the teacher does not start from the student", "METHODS 1.18", EMA,
        "self.module = copy.deepcopy(student)  # exact at the start",
        "self.module = copy.deepcopy(student)\n"
        "        for part in self.module.parameters():\n"
        "            part.data = torch.rand_like(part)",
        "tests/nn/test_ema.py",
    ),
    Mutant(
        "a gradient goes through the teacher", "METHODS 1.27", EMA,
        "@torch.no_grad()\n    def forward", "def forward", "tests/nn/test_ema.py",
    ),
    Mutant(
        "the teacher is trained by the optimiser", "METHODS 1.27", EMA,
        "self.requires_grad_(requires_grad=False)", "pass", "tests/nn/test_ema.py",
    ),
    Mutant(
        "teacher and student change places in the average", "METHODS 0", EMA,
        "old.lerp_(new, 1 - momentum)", "old.lerp_(new, momentum)",
        "tests/nn/test_ema.py",
    ),
    Mutant(
        "the momentum of the teacher is not annealed", "METHODS 0", EMA,
        "return 1 - (1 - start) * (1 + math.cos(phase)) / 2", "return start",
        "tests/nn/test_ema.py",
    ),
    Mutant(
        "batch statistics of the student are not copied to the teacher", "METHODS 1.6",
        EMA, "kept.copy_(fresh)", "pass", "tests/nn/test_ema.py",
    ),
    Mutant(
        "the centre is not reduced over processes", "METHODS 1.18", DISTIL,
        "total, count = (collective.sum_over_ranks(x) for x in (total, count))", "pass",
        "tests/nn/test_collective.py::"
        "test_shared_losses_and_centres_equal_the_whole_batch",
    ),
    Mutant(
        "the centre is added, not taken off", "METHODS 0", DISTIL,
        "(rows - shift) / temperature", "(rows + shift) / temperature",
        "tests/nn/test_losses.py tests/nn/test_distil.py",
    ),
    Mutant(
        "a step's own logits enter its targets", "METHODS 0", DISTIL,
        'shift = self.center if self.balance == "centre" else 0.0',
        'self.update()\n        shift = self.center if self.balance == "centre" else 0.0',
        "tests/nn/test_distil.py::"
        "test_the_centre_moves_after_the_step_over_all_that_was_seen",
    ),
    Mutant(
        "the centre's momentum is turned round", "METHODS 0", DISTIL,
        "self.center.lerp_(mean, 1 - self.momentum)",
        "self.center.lerp_(mean, self.momentum)",
        "tests/nn/test_distil.py",
    ),
    Mutant(
        "targets carry a gradient to the teacher", "METHODS 0", DISTIL,
        "@torch.no_grad()\n    def forward(self, logits: Tensor, temperature: float)"
        " -> Tensor:\n"
        '        """Return targets (..., K), without gradient; remember the logits\' mean.'
        '"""\n        rows = full_precision(logits.detach()',
        "def forward(self, logits: Tensor, temperature: float) -> Tensor:\n"
        '        """Return targets."""\n        rows = full_precision(logits',
        "tests/nn/test_distil.py::"
        "test_balance_can_be_left_out_and_targets_carry_no_gradient",
    ),
    Mutant(
        "Sinkhorn-Knopp swaps rows and columns", "METHODS 0", DISTIL,
        "q = q / collective.sum_over_ranks(q.sum(dim=0)).clamp(min=1e-30) / q.shape[1]\n"
        "        q = q / q.sum(dim=1, keepdim=True).clamp(min=1e-30) / samples",
        "q = q / q.sum(dim=1, keepdim=True).clamp(min=1e-30) / samples\n"
        "        q = q / collective.sum_over_ranks(q.sum(dim=0)).clamp(min=1e-30)"
        " / q.shape[1]",
        "tests/nn/test_distil.py", quick=True,
    ),
    Mutant(
        "exp overflows in Sinkhorn-Knopp", "METHODS 1.20", DISTIL,
        "q = torch.exp(z - collective.gather(top.view(1)).max())", "q = torch.exp(z)",
        "tests/nn/test_distil.py::"
        "test_sinkhorn_is_even_over_prototypes_and_samples_and_does_not_overflow",
    ),
    Mutant(
        "Sinkhorn-Knopp is done on each process by itself", "METHODS 0", DISTIL,
        "q = q / collective.sum_over_ranks(q.sum(dim=0)).clamp(min=1e-30)",
        "q = q / q.sum(dim=0).clamp(min=1e-30)",
        "tests/nn/test_collective.py tests/methods/test_ranks.py",
    ),
    Mutant(
        "KoLeo takes a vector for its own neighbour", "METHODS 0", DISTIL,
        "dots[own, own + collective.rank() * len(x)] = -torch.inf", "pass",
        "tests/nn/test_distil.py::test_koleo_equals_a_plain_loop",
    ),
    Mutant(
        "KoLeo of equal vectors is infinite", "METHODS 0", DISTIL,
        "loss: Tensor = -(gaps + 1e-8).log().mean()",
        "loss: Tensor = -gaps.log().mean()",
        "tests/nn/test_distil.py::test_koleo_by_hand_and_for_equal_vectors",
    ),
    Mutant(
        "KoLeo sees the vectors' lengths", "METHODS 0", DISTIL,
        "x = functional.normalize(x.float(), dim=-1)", "x = x.float()",
        "tests/nn/test_distil.py::test_koleo_equals_a_plain_loop",
    ),
    Mutant(
        "KoLeo is computed in half precision", "METHODS 0", DISTIL,
        "x = functional.normalize(x.float(), dim=-1)",
        "x = functional.normalize(x, dim=-1)",
        "tests/nn/test_distil.py",
    ),
    Mutant(
        "a view is compared with itself", "METHODS 1.14", DISTIL,
        "pairs.masked_fill(same, 0).sum() / (pairs.numel() - views)", "pairs.mean()",
        "tests/nn/test_distil.py",
    ),
    Mutant(
        "a batch in which the mask ratio is 0 divides by zero", "METHODS 1.15, 6 #23",
        DISTIL, "return (entropy * weight).sum() / len(hidden)",
        "return (entropy * weight).sum() / hidden.any(dim=1).sum()",
        "tests/nn/test_distil.py",
    ),
    Mutant(
        "hidden tokens are averaged over the batch, not per sample", "METHODS 6 #23",
        DISTIL, "return (entropy * weight).sum() / len(hidden)", "return entropy.mean()",
        "tests/nn/test_distil.py::"
        "test_hidden_token_ce_is_a_mean_per_sample_then_over_samples",
    ),
    Mutant(
        "nothing hidden divides by zero", "METHODS 1.15", LOSSES,
        "total = collective.sum_over_ranks(count).clamp(min=1)",
        "total = collective.sum_over_ranks(count)",
        "tests/nn/test_losses.py",
    ),
    Mutant(
        "the loss is over visible voxels, too", "METHODS 1.13", LOSSES,
        "total = ((x_hat - x).abs() * weight).sum()", "total = (x_hat - x).abs().sum()",
        "tests/nn/test_losses.py",
    ),
    Mutant(
        "masked losses divide by all voxels", "METHODS 6 #8", LOSSES,
        "return total / mean_count(weight.sum() * x.shape[1])",
        "return total / x.numel()",
        "tests/nn/test_losses.py",
    ),
    Mutant(
        "the student's temperature is left out", "METHODS 0", LOSSES,
        "log_s = torch.log_softmax(full_precision(student_logits) / t_s, dim=-1)",
        "log_s = torch.log_softmax(full_precision(student_logits), dim=-1)",
        "tests/nn/test_losses.py",
    ),
    Mutant(
        "NT-Xent counts a code among its own negatives", "METHODS 1.3", CONTRAST,
        'logits = logits.scatter(1, itself[:, None], float("-inf"))', "pass",
        "tests/nn/test_contrast.py",
    ),
    Mutant(
        "the partner of a second view is looked for in the second half", "METHODS 1.3",
        CONTRAST, "partner = torch.cat([place + count, place])",
        "partner = torch.cat([place + count, place + count])",
        "tests/nn/test_contrast.py",
    ),
    Mutant(
        "negatives are not gathered over processes", "METHODS 1.5", CONTRAST,
        "every = collective.gather(functional.normalize(key, dim=1))",
        "every = functional.normalize(key, dim=1)",
        "tests/nn/test_contrast.py::test_two_ranks_agree_with_one_process",
    ),
    Mutant(
        "BYOL's target receives a gradient", "METHODS 1.6", CONTRAST,
        "functional.cosine_similarity(prediction, target.detach(), dim=1)",
        "functional.cosine_similarity(prediction, target, dim=1)",
        "tests/nn/test_contrast.py",
    ),
    Mutant(
        "prototypes have any length", "METHODS 0", HEADS,
        "return functional.linear(z, functional.normalize(directions, dim=-1))",
        "return functional.linear(z, directions)",
        "tests/nn/test_heads.py",
    ),
    Mutant(
        "features go to prototypes with their length", "METHODS 0", HEADS,
        "z = functional.normalize(self.mlp(x), dim=-1)", "z = self.mlp(x)",
        "tests/nn/test_heads.py",
    ),
    Mutant(
        "the last layer is not frozen at first", "METHODS 0", HEADS,
        "if rests:  # (0", "if False:  # (0",
        "tests/methods/test_self_distillation.py::test_the_prototypes_rest_at_first",
    ),
    Mutant(
        "a token's voxels are painted in another order", "METHODS 1.13", HEADS,
        "voxels = voxels.permute(0, 1 + dims, *pairs)",
        "voxels = voxels.permute(0, 1 + dims, *reversed(pairs))",
        "tests/nn/test_heads.py",
    ),
    Mutant(
        "the first and the last axis change places in a resized crop",
        "METHODS 1.20, 6 #22", VIEWS, "row = len(size) - 1 - axis", "row = axis",
        "tests/nn/test_resized_crop.py",
    ),
    Mutant(
        "the slice axis is cut as the plane is", "METHODS 1.20", VIEWS,
        "plane = dims if through is None else dims - 1", "plane = dims - 1",
        "tests/nn/test_resized_crop.py",
    ),
    Mutant(
        "an area share is taken for a side's", "METHODS 6 #29", VIEWS,
        "share = (area ** (1 / plane) * log.exp()).clamp(max=1)",
        "share = (area * log.exp()).clamp(max=1)",
        "tests/nn/test_resized_crop.py",
    ),
    Mutant(
        "two crops of a region may miss each other", "METHODS 1.18", VIEWS,
        "if overlapping and 2 * side <= room:", "if False and 2 * side <= room:",
        "tests/methods/test_smit.py::test_views_that_might_not_overlap_are_refused",
    ),
    Mutant(
        "crops may share less than half an axis", "METHODS 1.3",
        "harness/nn/instance_views.py", "if room - side > (1 - share) * side + 1e-9:",
        "if False:", "tests/methods/test_two_views.py",
    ),
    Mutant(
        "neighbours are merged in another order", "METHODS 0", SWIN,
        "order = [*range(1, 2 * dims, 2), *range(2, 2 * dims + 1, 2)]",
        "order = [*range(1, 2 * dims, 2), *range(2 * dims, 1, -2)]",
        "tests/nn/test_swin.py::test_encoder_equals_plain_loops",
    ),
    Mutant(
        "no merge follows the last stage", "METHODS 0", SWIN,
        "pooled=merged[-1].flatten(2).mean(dim=2),",
        "pooled=maps[-1].flatten(2).mean(dim=2),",
        "tests/nn/test_swin.py",
    ),
    Mutant(
        "shifted windows attend across the grid's edge", "METHODS 0",
        "harness/nn/windows.py",
        "return kind.to(device), (apart.float() * APART).to(device)",
        "return kind.to(device), (apart * 0.0).to(device)",
        "tests/nn/test_windows.py",
    ),
    Mutant(
        "positions are resized with their axes swapped", "METHODS 1.20", VIT,
        "table = functional.interpolate(table, size=tuple(grid), mode=mode)",
        "table = functional.interpolate("
        "table.transpose(2, 3), size=tuple(grid), mode=mode)",
        "tests/nn/test_vit.py::"
        "test_positions_are_kept_at_their_own_grid_and_resized_elsewhere",
    ),
    Mutant(
        "hidden patches lose their position", "METHODS 1.13", VIT,
        "return self.join_class(tokens + resized(self.positions, grid)), grid",
        "tokens = tokens + resized(self.positions, grid)\n"
        "        if mask_units is not None:\n"
        "            tokens = torch.where(hidden, blank, tokens)\n"
        "        return self.join_class(tokens), grid",
        "tests/nn/test_vit.py::test_hidden_patches_are_not_seen_but_their_place_is",
    ),
    Mutant(
        "attention keeps the class token's own entry", "METHODS 1.19", TRANSFORMER,
        "row: Tensor = scores.softmax(dim=-1).mean(dim=1)[:, 0, 1:]",
        "row: Tensor = scores.softmax(dim=-1).mean(dim=1)[:, 0, :-1]",
        "tests/nn/test_vit.py tests/nn/test_swin_images.py",
    ),
    Mutant(
        "attention is not renormalised without that entry", "METHODS 1.19", TRANSFORMER,
        "return row / row.sum(dim=-1, keepdim=True)", "return row",
        "tests/nn/test_vit.py tests/nn/test_swin_images.py",
    ),
    Mutant(
        "attention is not detached", "METHODS 1.16", TRANSFORMER,
        "@torch.no_grad()\ndef class_row", "def class_row",
        "tests/nn/test_vit.py tests/nn/test_swin_images.py",
    ),
    Mutant(
        "semantic attention leaves the next stage as it was", "METHODS 1.19", SWIN,
        "tokens, cls, attention = self.semantic(tokens, rng)",
        "_, cls, attention = self.semantic(tokens, rng)",
        "tests/nn/test_swin_images.py",
    ),
    Mutant(
        "samples that keep a path are not scaled up", "METHODS 0", TRANSFORMER,
        "kept = (draw < 1 - rate).to(x) / (1 - rate)", "kept = (draw < 1 - rate).to(x)",
        "tests/nn/test_swin.py::test_drop_path_keeps_the_mean_and_rises_with_depth",
    ),
    Mutant(
        "biases and norms decay", "METHODS 0, 1.18", OPTIMISE,
        'exempt = parameter.ndim <= 1 or "bias" in name or "token" in name',
        "exempt = False",
        "tests/run/test_optimise.py",
    ),
    Mutant(
        "gradients are not clipped", "METHODS 1.18", OPTIMISE,
        "torch.nn.utils.clip_grad_norm_(parameters, self.clip)", "pass",
        "tests/run/test_optimise.py",
    ),
    Mutant(
        "the patch temperature warms up with the image's", "METHODS 1.18",
        "harness/nn/schedule.py", "if step < delay:\n        return start\n    if step >="
        " delay + warmup:", "delay = 0\n    if step >= delay + warmup:",
        "tests/nn/test_schedule.py",
    ),
    Mutant(
        "batch norm in the teacher uses running statistics", "METHODS 1.6",
        "harness/nn/batchnorm.py", "live = self.training or self.batch_statistics",
        "live = self.training",
        "tests/nn/test_batchnorm.py tests/methods/test_two_views.py",
    ),
    Mutant(
        "shuffling moves voxels past their window", "METHODS 1.9", CORRUPT,
        "to = window.argsort(dim=1, stable=True)",
        "to = order.argsort(dim=1)",
        "tests/nn/test_corrupt.py",
    ),
    Mutant(
        "a remapped intensity does not rise steadily", "METHODS 1.9", CORRUPT,
        "u, v = curve[:, 0].sort(dim=1).values, curve[:, 1].sort(dim=1).values",
        "u, v = curve[:, 0].sort(dim=1).values, curve[:, 1].flip(1)",
        "tests/nn/test_corrupt.py tests/methods/test_models_genesis.py",
    ),
    Mutant(
        "boxes cover more than their share", "METHODS 1.10", CORRUPT,
        "alive = volume <= share[:, None]", "alive = volume <= 10",
        "tests/nn/test_corrupt.py",
    ),
    Mutant(
        "places are sampled with their axes in reverse", "METHODS 2.3, 6 #22",
        DEFORMABLE, "(2 * places - 1).flip(-1)", "(2 * places - 1)",
        "tests/nn/test_deformable.py",
    ),
    Mutant(
        "offsets are shares of the wrong level's sides", "METHODS 2.3", DEFORMABLE,
        "offsets / sides", "offsets / sides.flip(0)", "tests/nn/test_deformable.py",
    ),
    Mutant(
        "the released order of axes is the default", "METHODS 6 #22", DEFORMABLE,
        "        ratio: float = 0.25,\n        as_released: bool = False,",
        "        ratio: float = 0.25,\n        as_released: bool = True,",
        "tests/nn/test_deformable.py",
    ),
    Mutant(
        "weights of places do not sum to 1", "METHODS 2.3", DEFORMABLE,
        ".softmax(dim=-1)", ".sigmoid()", "tests/nn/test_deformable.py",
    ),
    Mutant(
        "a frozen encoder goes into training mode", "METHODS 1.27",
        "harness/run/networks.py",
        "if self.frozen:\n            self.encoder.eval()", "pass",
        "tests/run/test_networks.py",
    ),
    Mutant(
        "the spread of embeddings sees their lengths", "METHODS 1.27", SPREAD,
        "z = functional.normalize(x.float(), dim=1)", "z = x.float()",
        "tests/nn/test_spread.py",
    ),
    Mutant(
        "the effective rank counts the mean", "METHODS 1.27", SPREAD,
        "(x - x.mean(dim=0)).double()", "x.double()", "tests/nn/test_spread.py",
    ),
]  # fmt: skip
