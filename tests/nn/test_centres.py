import pytest
import torch

from harness.nn.centres import Centres

X = torch.tensor([[0.0, 0.0], [2.0, 0.0], [10.0, 0.0], [10.0, 4.0]])


def test_logits_fall_with_the_distance_to_a_class():
    head = Centres(2, 3)
    head.fit(
        X, torch.tensor([0, 0, 2, 2])
    )  # centres (1, 0) and (10, 2), 1.5 on average
    logits = head(torch.tensor([[1.0, 3.0]]))[0]
    assert logits[0].item() == pytest.approx(-3 / 1.5)
    assert logits[2].item() == pytest.approx(-(82**0.5) / 1.5)
    assert logits[1] == -float("inf")  # no case of this class was there
    assert logits.softmax(dim=0)[1] == 0


def test_one_case_of_each_class_has_no_size():
    head = Centres(2, 2)
    head.fit(X[:2], torch.tensor([0, 1]))
    assert head(X[:2]).argmax(dim=1).tolist() == [0, 1]
    assert head(X).isfinite().all()
