"""An asymmetric object through every orientation and format: the result read by other libraries."""

import logging
from contextlib import closing

import nibabel
import numpy as np
import pytest
import SimpleITK

from inference.model.pair import ModelPair
from inference.options import F32, default_weights
from tests.support.phantom_files import (
    ORIENTATIONS,
    affine,
    box_of,
    mask,
    oblique,
    scan,
    segment,
    stored,
    write_image,
)

FORMATS = (".nii.gz", ".nrrd", ".mha")


@pytest.mark.parametrize("turned", [False, True], ids=["straight", "oblique"])
@pytest.mark.parametrize("ending", FORMATS)
def test_every_orientation(tmp_path, ending, turned):
    for number, (order, signs) in enumerate(ORIENTATIONS):
        lps = affine(order, signs, oblique() if turned else None)
        expected = stored(mask(), order, signs)
        image = write_image(tmp_path / f"{number}{ending}", stored(scan(), order, signs), lps)
        result = tmp_path / f"out/{number}{ending}"
        assert segment(image, "--box", box_of(expected), "--window", "0,2000", "-o", result) == 0
        labels, matrix = read(result)
        np.testing.assert_array_equal(labels, expected, err_msg=f"{order} {signs}")
        assert geometry(result) == geometry(image)
        np.testing.assert_allclose(matrix, lps, atol=2e-5)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    with closing(ModelPair(default_weights(), F32, cache=tmp_path_factory.mktemp("cache"))) as model:
        model.prepare(2, follow=True)
        yield model


def test_the_same_scan_gives_the_same_masks_on_the_acquired_slices_however_it_is_stored(tmp_path, shipped, caplog):
    """By the networks that ship, which see slices; the result turned back is that of the first orientation."""
    caplog.set_level(logging.INFO, "qmedsam")
    noisy = (scan() + np.random.default_rng(0).normal(0, 20, scan().shape)).astype(np.int16)
    masks = []
    for order, signs in ORIENTATIONS[::5]:
        caplog.clear()
        image = write_image(tmp_path / "a.nii.gz", stored(noisy, order, signs), affine(order, signs))
        box = box_of(stored(mask(), order, signs))
        assert segment(image, "--box", box, "-o", tmp_path / "m.nii.gz", model=shipped) == 0
        assert f"slices along {'xyz'[order.index(2)]} of the file (axial), 4 mm apart" in caplog.text
        labels, _ = read(tmp_path / "m.nii.gz")
        masks.append(labels[tuple(slice(None, None, sign) for sign in signs)].transpose(np.argsort(order)))
    assert masks[0].any()
    for turned in masks[1:]:
        np.testing.assert_array_equal(turned, masks[0])


def read(path):
    """Labels (x, y, z) and the matrix to LPS; NIfTI by nibabel."""
    if path.name.endswith(".nii.gz"):
        image = nibabel.load(path)
        return np.asarray(image.dataobj), np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    image = SimpleITK.ReadImage(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image).T, matrix


def geometry(path):
    """Of a file, in the digits that its format holds."""
    image = SimpleITK.ReadImage(str(path))
    digits = 5 if path.name.endswith(".nii.gz") else 12
    parts = (image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    return image.GetSize(), [[round(number, digits) + 0.0 for number in part] for part in parts]
