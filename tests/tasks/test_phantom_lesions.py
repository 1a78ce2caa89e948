"""The phantom lesions: how well anyone could do, and that images show the truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from harness.schema.cases import CaseRef
from tasks import phantom_lesions as lesions


def test_optimum_auc_of_the_true_parameters():
    drawn = [lesions.lesion(f"drawn_{i}", 3) for i in range(4000)]
    malignant = [one.malignant for one in drawn]
    auc = roc_auc_score(malignant, [one.suspicion for one in drawn])
    assert 0.85 < lesions.OPTIMAL_AUC < 0.95
    assert auc == pytest.approx(lesions.OPTIMAL_AUC, abs=0.02)


def test_cores_lie_inside_and_images_follow_the_labels():
    cores, shares = [], []
    for number in range(40):
        case = CaseRef(f"lesion_{number:04d}", "p")
        raw = lesions.make(case, 0, labels=True)
        whole, core = raw.label > 0, raw.label == lesions.CORE
        assert 0.02 < whole.mean() < 0.6
        assert core.any()
        # a rim of pigment: hardly a pixel of the core touches bare skin
        touches = np.zeros_like(core)
        for axis, by in ((0, 1), (0, -1), (1, 1), (1, -1)):
            touches |= np.roll(~whole, by, axis)
        assert (touches & core).sum() <= 0.05 * core.sum()
        red = raw.image[0]
        assert red[core].mean() < red[whole & ~core].mean() < red[~whole].mean()
        cores.append(lesions.lesion(case.case_id, 0).core)
        shares.append(core.sum())
    assert np.corrcoef(cores, shares)[0, 1] > 0.8
