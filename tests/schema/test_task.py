import pytest
from pydantic import ValidationError

from harness.schema.corpus import CorpusSpec
from harness.schema.splits import HashSplit
from harness.schema.task import SourceFile, TaskSpec

SEGMENTATION = {
    "title": "Toy",
    "kind": "segmentation",
    "modality": "CT",
    "format": {"kind": "msd", "folder": "Task99_Toy"},
    "cases": 10,
    "structures": {"liver": 1, "tumour": 2},
    "preprocess": {"intensity": {"kind": "window", "low": -100, "high": 300}},
    "crop": {"small": [32, 32, 32]},
    "metrics": ["dice", "hd95"],
    "source": {"page": "https://example.org", "licence": "CC BY-SA 4.0"},
}
CLASSIFICATION = {
    **{name: SEGMENTATION[name] for name in SEGMENTATION if name != "structures"},
    "kind": "classification",
    "target": {"name": "malignant", "classes": ["no", "yes"]},
    "metrics": ["auc"],
}


def changed(base, **changes):
    return TaskSpec.model_validate({**base, **changes})


def test_a_task_counts_its_outputs():
    assert changed(SEGMENTATION).classes == 3  # and background
    assert changed(CLASSIFICATION).classes == 2
    assert isinstance(changed(SEGMENTATION).split, HashSplit)


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (SEGMENTATION, {"structures": {}}, "label values 1, 2, ... n without gaps"),
        (SEGMENTATION, {"structures": {"a": 1, "b": 3}}, "without gaps"),
        (SEGMENTATION, {"structures": {f"s{n}": n for n in range(1, 257)}},
         "256 structures: label maps hold 255"),
        (SEGMENTATION, {"structures": {"a": 1, "b": 1}}, "without gaps"),
        (SEGMENTATION, {"structures": {"a": 0, "b": 1}}, "without gaps"),
        (SEGMENTATION, {"metrics": ["auc"]}, "segmentation task are among dice, hd95"),
        (SEGMENTATION, {"metrics": []}, "are among dice, hd95"),
        (SEGMENTATION, {"metrics": ["iou"]}, "'dice', 'hd95', 'auc' or 'kappa'"),
        (SEGMENTATION, {"colour": 1}, "Extra inputs are not permitted"),
        (SEGMENTATION, {"cases": 0}, "greater than or equal to 1"),
        (SEGMENTATION, {"format": {"kind": "nrrd"}}, "of the expected tags"),
        (CLASSIFICATION, {"target": None}, "needs 'target' with its classes"),
        (CLASSIFICATION, {"metrics": ["dice"]}, "are among auc, kappa"),
        (CLASSIFICATION, {"target": {"name": "a", "classes": ["x"]}}, "at least 2"),
        (SEGMENTATION, {"split": {"kind": "hash", "val": 0.5, "test": 0.5}},
         "leave nothing to train on"),
        (SEGMENTATION, {"preprocess": {"intensity": {"kind": "window", "low": 1,
                                                     "high": 1}}},
         "needs low < high, not 1.0 and 1.0"),
        (SEGMENTATION, {"preprocess": {"intensity": {"kind": "percentiles", "low": 60,
                                                     "high": 50}}}, "need low < high"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(base, changes, message):
    with pytest.raises(ValidationError) as caught:
        changed(base, **changes)
    assert message in str(caught.value)


def test_a_digest_is_cited():
    file = {"url": "https://example.org/a.tar", "path": "a.tar", "sha256": "0" * 64}
    with pytest.raises(
        ValidationError, match="needs digest_page, the page that prints"
    ):
        SourceFile.model_validate(file)
    cited = SourceFile.model_validate({**file, "digest_page": "https://example.org"})
    assert cited.verified == "never"


def test_specs_are_frozen_and_come_back_from_json():
    for base in (SEGMENTATION, CLASSIFICATION):
        spec = changed(base)
        with pytest.raises(ValidationError, match="frozen"):
            spec.cases = 3
        assert TaskSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_a_corpus_has_sources():
    with pytest.raises(ValidationError, match="at least 1 item"):
        CorpusSpec.model_validate({"title": "none", "sources": []})
    corpus = CorpusSpec.model_validate({"title": "a", "sources": [{"task": "toy"}]})
    assert corpus.sources[0].cap is None
