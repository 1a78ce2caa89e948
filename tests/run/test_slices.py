import numpy as np

from harness.run.slices import (
    LIMIT_BYTES,
    planes_of,
    shown_cases,
    worst_cases,
    write_slices,
)


def test_the_same_six_cases_are_shown_whatever_the_order():
    ids = [f"case{i}" for i in range(40)]
    assert shown_cases(ids) == shown_cases(ids[::-1])
    assert len(shown_cases(ids)) == 6
    assert shown_cases(ids) != ids[:6]
    assert shown_cases(["b", "a"]) in (["a", "b"], ["b", "a"])


def test_the_worst_two_are_others():
    scores = {"a": 0.1, "b": 0.9, "c": 0.2, "d": 0.3}
    assert worst_cases(scores, ["a"]) == ["c", "d"]


def test_planes_go_through_the_largest_truth():
    image = np.arange(5 * 6 * 7, dtype=np.uint8).reshape(5, 6, 7)
    truth = np.zeros((5, 6, 7), np.uint8)
    truth[3, 2:5, 4] = 2
    truth[1, 2, 6] = 1
    pred = np.ones_like(truth)
    planes = planes_of(image, truth, pred)
    assert [layer[0].shape for layer in planes] == [(6, 7), (5, 7), (5, 6)]
    assert np.array_equal(planes[0][0], image[3])
    assert np.array_equal(planes[1][1], truth[:, 2])
    assert np.array_equal(planes[2][0], image[:, :, 4])
    empty = planes_of(image, np.zeros_like(truth), pred)
    assert np.array_equal(empty[0][0], image[2])


def test_the_file_stays_small_and_needs_no_pickle(tmp_path):
    rng = np.random.default_rng(0)
    cases = {}
    for name in "abcdefgh":
        noise = rng.integers(0, 255, (256, 256), dtype=np.uint8)
        cases[name] = [(noise, noise % 15, noise % 15)] * 3
    path = tmp_path / "slices.npz"
    write_slices(path, cases, ["h"])
    assert path.stat().st_size < LIMIT_BYTES
    with np.load(path, allow_pickle=False) as slices:
        assert slices["case_ids"].tolist() == list("abcdefgh")
        assert slices["is_worst"].tolist() == [False] * 7 + [True]
        assert len([name for name in slices if name.endswith("_pred")]) == 24
        assert slices["7_2_image"].dtype == np.uint8
        assert min(slices["7_2_image"].shape) >= 20
