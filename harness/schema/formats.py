"""How datasets lie on disk: what `format` of a task file may say.

Each kind is read by the module of its name in harness/volumes/formats.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .closed import Closed

Relabel = Annotated[
    dict[int, int],
    Field(
        description="value in the label files: the task's value, 0 for background; "
        "values that are not named stay as they are",
        exclude_if=lambda named: not named,  # what is not used is not part of a key
    ),
]


class Columns(Closed):
    """Which columns of a table say what; a column with the default name may be absent.

    image: per channel a column with a path, or a path made of columns, such as
    'images/{id_code}.png'; label: the same for a label map. Paths are relative to the
    table. case: none makes the id from the patient, or from the first image's path.
    """

    case: str | None = None
    image: tuple[str, ...] = Field(("image",), min_length=1)
    label: str = "label"
    target: str = "target"
    patient: str = "patient"
    split: str = "split"


class GeneratedFormat(Closed):
    """Cases made from a seed by tasks/<generator>.py."""

    kind: Literal["generated"]
    generator: str = Field(description="stem of the .py file in tasks/")
    seed: int = 0
    settings: dict[str, int | float | str | bool] = Field(
        default_factory=dict, description="keyword arguments of the generator"
    )


class MsdFormat(Closed):
    """A Medical Segmentation Decathlon folder: dataset.json, imagesTr, labelsTr."""

    kind: Literal["msd"]
    folder: str = Field(description="folder name below the data root")
    relabel: Relabel = Field(default_factory=dict)

    @property
    def place(self) -> str:
        """What must exist below a data root."""
        return self.folder


class NnunetFormat(Closed):
    """An nnU-Net raw folder (version 2): dataset.json, imagesTr, labelsTr, imagesTs.

    file: a table in the folder with classes, patients or splits, if there is one.
    """

    kind: Literal["nnunet"]
    folder: str = Field(description="folder name below the data root")
    relabel: Relabel = Field(default_factory=dict)
    file: str | None = None
    columns: Columns = Field(default_factory=Columns)

    @property
    def place(self) -> str:
        """What must exist below a data root."""
        return self.folder


class MedmnistFormat(Closed):
    """A MedMNIST file: {train,val,test}_{images,labels} in one .npz.

    column: which of several labels per image is the class; none where there is one.
    """

    kind: Literal["medmnist"]
    file: str = Field(description="path of the .npz below the data root")
    column: int | None = Field(None, ge=0)

    @property
    def place(self) -> str:
        """What must exist below a data root."""
        return self.file


class CsvFormat(Closed):
    """A table with a row per case, and the files that it names.

    Images: NIfTI, NRRD, MetaImage, the folder of a DICOM series, PNG, JPEG or TIFF.
    Label maps: those, or an RTSTRUCT or a DICOM segmentation, of which `segments` says
    which names become which value ('GTV*' stands for names that begin so).
    """

    kind: Literal["csv"]
    folder: str = Field(description="folder name below the data root")
    file: str = "cases.csv"
    columns: Columns = Field(default_factory=Columns)
    relabel: Relabel = Field(default_factory=dict)
    segments: dict[str, int] = Field(default_factory=dict)

    @property
    def place(self) -> str:
        """What must exist below a data root."""
        return self.folder


class ImagesFormat(Closed):
    """Picture files in folders whose names say what they are.

    pattern: path below the folder. {target}, {split}, {patient} and {case} stand for
    what they say, * for anything; none of them spans a '/'.
    """

    kind: Literal["images"]
    folder: str = Field(description="folder name below the data root")
    pattern: str = "{target}/*"

    @property
    def place(self) -> str:
        """What must exist below a data root."""
        return self.folder

    @model_validator(mode="after")
    def _is_a_pattern(self) -> ImagesFormat:
        left = self.pattern
        for name in ("target", "split", "patient", "case"):
            if left.count(f"{{{name}}}") > 1:
                msg = f"pattern {self.pattern!r} names {{{name}}} more than once"
                raise ValueError(msg)
            left = left.replace(f"{{{name}}}", "")
        if "{" in left or "}" in left:
            msg = (
                f"pattern {self.pattern!r}: only {{target}}, {{split}}, {{patient}} "
                "and {case} may stand in braces"
            )
            raise ValueError(msg)
        return self


StoredFormat = MsdFormat | NnunetFormat | MedmnistFormat | CsvFormat | ImagesFormat
Format = Annotated[StoredFormat | GeneratedFormat, Field(discriminator="kind")]
