import pytest
import torch
from monai.losses import DiceCELoss, DiceLoss

from harness.nn.objectives import dice_ce, region_dice, region_masks


@pytest.mark.parametrize("classes", [2, 4])
def test_the_loss_and_its_gradient_are_those_of_monai(classes):
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, 5, 6, 7, generator=rng, requires_grad=True)
    labels = torch.randint(0, classes, (2, 5, 6, 7), generator=rng).to(torch.uint8)
    labels[0] = 0  # a crop without any structure
    theirs = DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True, batch=True)(
        logits, labels[:, None].long()
    )
    (want,) = torch.autograd.grad(theirs, logits)
    ours = dice_ce(logits, labels)
    (got,) = torch.autograd.grad(ours, logits)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert torch.allclose(got, want, atol=1e-7)


BRATS = [(1, 3), (1, 2, 3), (3,)]  # core, whole, enhancing


@pytest.mark.parametrize("sides", [(5, 6, 7), (8, 9)])
def test_the_loss_of_regions_and_its_gradient_are_those_of_monai(sides):
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, *sides, generator=rng, requires_grad=True)
    labels = torch.randint(0, 4, (2, *sides), generator=rng).to(torch.uint8)
    labels[0] = 0
    masks = torch.stack(
        [torch.isin(labels, torch.tensor(values)) for values in BRATS], dim=1
    )
    assert torch.equal(region_masks(labels, BRATS), masks)
    theirs = DiceLoss(sigmoid=True, squared_pred=True, batch=True)(
        logits, masks.float()
    )
    (want,) = torch.autograd.grad(theirs, logits)
    ours = region_dice(logits, labels, BRATS)
    (got,) = torch.autograd.grad(ours, logits)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert torch.allclose(got, want, atol=1e-7)
