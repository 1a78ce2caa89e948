"""Maps of networks that do not have the same layers; legends of long names."""

import numpy as np

from harness.report.figures.layer_maps import LayerMap, on_all_layers
from harness.report.figures.style import Look, legend, panels


def test_layers_that_one_network_lacks_are_blank_and_the_rest_keeps_its_place():
    few, many = ["stem", "decoder.up1"], ["stem", "semantic.block1", "decoder.up1"]
    shown = {
        ("all", ("plain", "swin")): LayerMap(
            np.array([[1.0, 0.2], [0.3, 0.4]]), few, few
        ),
        ("all", ("more", "swin")): LayerMap(np.arange(9.0).reshape(3, 3), many, many),
    }
    plain, more = on_all_layers(shown).values()
    assert plain.rows == plain.columns == more.rows == many
    assert np.isnan(plain.values[1]).all()
    assert np.isnan(plain.values[:, 1]).all()
    assert plain.values[[0, 0, 2, 2], [0, 2, 0, 2]].tolist() == [1.0, 0.2, 0.3, 0.4]
    assert more.values.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_a_legend_of_long_names_stays_inside_a_narrow_figure():
    figure, _ = panels(1)
    looks = [
        Look(f"a_method_with_a_name_{number}", "#000000", "o", "-")
        for number in range(5)
    ]
    legend(figure, looks)
    figure.draw_without_rendering()
    (box,) = [one.get_window_extent() for one in figure.legends]
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
