"""A lesion of known place and volume, as third-party software writes it to disk."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

CENTRE = np.array([6.0, -9.0, 14.0])  # mm in R, A, S
RADII = np.array([13.0, 17.0, 11.0])  # mm
VOLUME = 4 / 3 * np.pi * RADII.prod()
# The file's axes run to the patient's feet, left and front; its spacing is uneven.
SPACING = (2.0, 0.8, 1.1)
SHAPE = (24, 62, 55)
AFFINE = np.eye(4)
AFFINE[:3, :3] = np.array([[0, -0.8, 0], [0, 0, 1.1], [-2.0, 0, 0]])
AFFINE[:3, 3] = CENTRE - AFFINE[:3, :3] @ (np.array(SHAPE) / 2 - [0.8, 1.3, 0.4])


def lesion(affine=AFFINE, shape=SHAPE):
    """Image (int16, 100 inside, -50 outside) and label on a grid."""
    index = np.moveaxis(np.indices(shape), 0, -1)
    away = index @ affine[:3, :3].T + affine[:3, 3] - CENTRE
    label = ((away / RADII) ** 2).sum(-1) <= 1
    return np.where(label, 100, -50).astype(np.int16), label.astype(np.uint8)


def measured(raw):
    """Volume in mm^3 and centre in mm of the label of a case as it was read."""
    voxels = np.argwhere(raw.label == 1)
    volume = len(voxels) * abs(np.linalg.det(raw.affine[:3, :3]))
    centre = voxels.mean(0) @ raw.affine[:3, :3].T + raw.affine[:3, 3]
    return volume, centre


def write_nifti(path: Path, voxels, affine=AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine), path)


def write_itk(path: Path, voxels, affine=AFFINE) -> None:
    """NRRD, MetaImage or NIfTI, by the ending of the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(voxels.transpose(2, 1, 0))
    to_lps = np.diag([-1.0, -1.0, 1.0])
    axes = to_lps @ affine[:3, :3]
    spacing = np.linalg.norm(axes, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((axes / spacing).ravel().tolist())
    image.SetOrigin((to_lps @ affine[:3, 3]).tolist())
    SimpleITK.WriteImage(image, str(path), useCompression=True)


class Series:
    """An axial CT series whose slices are written from the head down."""

    spacing = (0.8, 1.1, 2.0)  # mm between columns, rows, slices
    shape = (60, 52, 22)  # columns, rows, slices

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uid, self.study, self.frame = (generate_uid() for _ in range(3))
        self.affine = np.diag([-0.8, -1.1, -2.0, 1.0])  # RAS: left, back, feet
        half = np.array(self.shape) / 2 - [0.8, 1.3, 0.4]
        self.affine[:3, 3] = CENTRE - self.affine[:3, :3] @ half
        self.image, self.label = lesion(self.affine, self.shape)
        folder.mkdir(parents=True)
        for number in range(self.shape[2]):
            self.write(number)

    def path(self, number: int) -> Path:
        # names tell nothing of the order
        return self.folder / f"IM{(number * 7) % self.shape[2]:04d}.dcm"

    def position(self, number: int):
        return (self.affine[:3] @ [0, 0, number, 1]) * [-1, -1, 1]  # L, P, S

    def slice(self, number: int) -> Dataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one = Dataset()
        one.file_meta = meta
        one.SOPClassUID = CTImageStorage
        one.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        one.Modality, one.PatientID, one.PatientName = "CT", "p", "Nobody^"
        one.PatientBirthDate = one.PatientSex = one.StudyID = one.StudyDate = ""
        one.StudyTime = one.AccessionNumber = one.ReferringPhysicianName = ""
        one.SeriesNumber = 1
        one.StudyInstanceUID, one.SeriesInstanceUID = self.study, self.uid
        one.FrameOfReferenceUID, one.InstanceNumber = self.frame, number + 1
        one.Rows, one.Columns = self.shape[1], self.shape[0]
        one.PixelSpacing = [self.spacing[1], self.spacing[0]]
        one.SliceThickness = self.spacing[2]
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [round(mm, 6) for mm in self.position(number)]
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation = 15, 0
        one.RescaleSlope, one.RescaleIntercept = 2, -1024
        stored = (self.image[:, :, number].T + 1024) // 2
        one.PixelData = stored.astype(np.uint16).tobytes()
        return one

    def write(self, number: int, **changes) -> None:
        one = self.slice(number)
        for name, value in changes.items():
            setattr(one, name, value)
        pydicom.dcmwrite(self.path(number), one, enforce_file_format=True)
