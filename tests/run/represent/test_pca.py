"""Colours of tokens: which side is foreground, what the colours are."""

import numpy as np
import pytest
import torch

from harness.nn.components import components
from harness.run.represent.pca import colour


def volume(bright):
    """Return tokens (4, 2, 2, 2) and the image they are of; half of it is tissue."""
    rng = torch.Generator().manual_seed(0)
    tokens = 0.1 * torch.randn(4, 2, 2, 2, generator=rng)
    image = torch.zeros(4, 4, 4)
    inside = image[2:] if bright else image[:2]
    inside += 0.8
    tokens[0, 1] += 5  # the second half differs most from the first
    return tokens, image


@pytest.mark.parametrize("bright", [True, False])
def test_foreground_is_the_brighter_side_of_the_first_component(bright):
    tokens, image = volume(bright)
    found = components([tokens.flatten(1).T], 4)
    made = colour(found, [tokens], [image])
    assert made.colours.shape == (1, 2, 2, 2, 3)
    assert made.foreground == 0.5
    black = (made.colours[0] == 0).all(axis=-1)
    assert black[0].all() if bright else black[1].all()


def test_colours_span_the_foreground_of_all_volumes():
    tokens, image = volume(bright=True)
    found = components([tokens.flatten(1).T], 4)
    made = colour(found, [tokens, tokens], [image, image])
    shown = made.colours[:, 1].reshape(-1, 3)
    assert shown.min(axis=0).tolist() == [0, 0, 0]
    assert shown.max(axis=0).tolist() == [255, 255, 255]
    assert np.array_equal(made.colours[0], made.colours[1])


def test_an_encoder_of_two_channels_has_one_colour():
    tokens, image = volume(bright=True)
    two = tokens[:2]
    made = colour(components([two.flatten(1).T], 4), [two], [image])
    assert made.colours[..., 0].any()
    assert not made.colours[..., 1:].any()
