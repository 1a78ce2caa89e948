import math

import pytest
import torch

from harness.nn.neighbours import Neighbours, left_out_accuracy


def head(k, temperature=0.07):
    made = Neighbours(2, 4, 3, k=k, temperature=temperature)
    angles = [0.0, 0.5, 1.0, 3.0]
    x = torch.tensor([[math.cos(a), math.sin(a)] for a in angles])
    lengths = torch.tensor([1.0, 5.0, 0.1, 2.0])
    made.remember(x * lengths[:, None], torch.tensor([0, 1, 1, 2]))
    return made


QUERY = torch.tensor([[3.0, 0.0]])  # alike by cos 0, cos 0.5, cos 1, cos 3


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_votes_are_exponentials_of_cosines(temperature):
    votes = [math.exp(math.cos(a) / temperature) for a in (0.0, 0.5, 1.0)]
    want = torch.tensor([votes[0], votes[1] + votes[2], 0.0]) / sum(votes)
    found = head(3, temperature)(QUERY).softmax(dim=1)[0]
    assert torch.allclose(found, want, atol=1e-6)


def test_only_the_nearest_vote_and_at_most_as_many_as_there_are():
    assert torch.equal(head(1)(QUERY).softmax(dim=1)[0], torch.tensor([1.0, 0, 0]))
    assert head(200).k == 4


def test_a_small_temperature_overflows_nothing():
    scores = head(4, 1e-4)(QUERY).softmax(dim=1)
    assert scores.isfinite().all()
    assert scores[0, 0] == 1


def test_an_image_is_judged_by_other_cases_alone():
    x = torch.tensor([[1.0, 0], [0.9, 0.1], [0, 1.0], [0.1, 0.9], [0.5, 0.6]])
    y = torch.tensor([0, 0, 1, 1, 0])
    alone = torch.arange(5)
    # by the one nearest: the last, of class 0, lies nearer to class 1
    assert left_out_accuracy(x, y, alone, k=1, temperature=0.07) == pytest.approx(0.8)
    # both of one case: they look past each other, at the last one of their class
    same = torch.tensor([0, 0, 1, 2, 3])
    assert left_out_accuracy(x, y, same, k=1, temperature=0.07) == pytest.approx(0.8)
    two = torch.tensor([0, 0, 1, 1, 0])  # every other case is of the other class
    assert left_out_accuracy(x, y, two, k=20, temperature=0.07) == 0
    one_class = torch.zeros(5, dtype=torch.int64)
    assert left_out_accuracy(x, one_class, alone, k=1, temperature=0.07) is None
