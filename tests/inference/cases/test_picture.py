"""Ordinary picture files as input: what becomes of their values, orientation and pages, and what is refused."""

import os
import struct
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.cases.intensity import rescale_percentiles
from inference.cases.picture import read_picture, write_mask
from inference.errors import CaseError
from training.data.sources import read_image

BUDGET = 64 * 2**20
BOX = [2.0, 2.0, 20.0, 20.0]
RAMP = np.tile(np.arange(32, dtype=np.uint8) * 8, (24, 1))
# No two corners alike, and smooth, so that lossy formats keep it.
CORNERS = cv2.resize(np.array([[20, 90], [160, 250]], np.uint8), (32, 24), interpolation=cv2.INTER_LINEAR)


def write(folder: Path, suffix: str, picture: np.ndarray) -> Path:
    path = folder / f"scan{suffix}"
    assert cv2.imwrite(str(path), picture)
    return path


def image_of(path: Path, budget: int = BUDGET) -> np.ndarray:
    return read_picture(path, [BOX], budget).volume[0]


def test_gray_8_bit(tmp_path):
    case = read_picture(write(tmp_path, ".png", RAMP), [BOX], BUDGET)
    np.testing.assert_array_equal(case.volume[0], RAMP)
    assert not case.is_volume
    assert case.warnings == []


@pytest.mark.parametrize("alpha", [False, True])
def test_colour_is_red_first_and_alpha_is_dropped(tmp_path, alpha):
    blue_green_red = np.stack([RAMP, RAMP // 2, RAMP // 4] + [np.full_like(RAMP, 9)] * alpha, axis=-1)
    path = write(tmp_path, ".png", blue_green_red)
    np.testing.assert_array_equal(image_of(path), np.stack([RAMP // 4, RAMP // 2, RAMP], axis=-1))


class TestValues:
    def test_16_bit_is_scaled_by_its_content(self, tmp_path):
        deep = np.zeros((100, 100), np.uint16)
        deep[10:] = np.linspace(1000, 3000, 9000).reshape(90, 100).astype(np.uint16)
        image = image_of(write(tmp_path, ".tif", deep))
        assert image.dtype == np.uint8
        assert (image.min(), image.max()) == (0, 255)
        assert abs(int(image[54, 50]) - 127) <= 3

    @pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.float32, np.float64])
    def test_negative_values_are_values(self, tmp_path, dtype):
        signed = np.linspace(-100, 100, 10_000).reshape(100, 100).astype(dtype)
        image = image_of(write(tmp_path, ".tif", signed))
        assert (image.min(), image.max()) == (0, 255)
        assert len(np.unique(image[:50])) > 90  # the half below zero is not clipped

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_a_picture_has_the_values_that_training_sees(self, tmp_path, dtype, channels):
        random = np.random.default_rng(0).normal(90, 40, (40, 50, channels)).clip(0, 255) * (np.dtype(dtype).itemsize)
        path = write(tmp_path, ".tif", random.astype(dtype))
        np.testing.assert_array_equal(image_of(path), read_image(path))

    def test_floating_point_in_0_to_1(self, tmp_path):
        picture = np.linspace(0, 1, 24 * 32, dtype=np.float32).reshape(24, 32)
        image = image_of(write(tmp_path, ".tif", picture))
        np.testing.assert_array_equal(image, rescale_percentiles(picture))
        assert (image.min(), image.max()) == (0, 255)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
    def test_what_is_no_intensity_is_refused(self, tmp_path, dtype, value):
        picture = RAMP.astype(dtype)
        picture[3, 4] = value
        with pytest.raises(CaseError, match="holds NaN, infinity"):
            image_of(write(tmp_path, ".tif", picture))


def exif(orientation: int, order: str = "<") -> bytes:
    """EXIF with nothing but an orientation, which is a TIFF directory of one entry."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(f"{order}IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)


def tiff(picture: np.ndarray, orientation: int) -> bytes:
    """An uncompressed TIFF file of one strip; OpenCV writes none with an orientation."""
    height, width = picture.shape[:2]
    channels, kind = picture.size // (height * width), 3 if picture.dtype.kind == "f" else 1
    colours = {1: 1, 3: 2}[channels]
    bits = 8 * picture.dtype.itemsize
    entries = [
        *((256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, colours), (273, 4, 8)),
        *((274, 3, orientation), (277, 3, channels), (278, 4, height), (279, 4, picture.nbytes), (339, 3, kind)),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in entries)
    return b"II*\0" + struct.pack("<I", 8 + picture.nbytes) + picture.tobytes() + directory + bytes(4)


# What has to be done to a picture that lies in its file in this orientation.
TURNS = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: lambda p: np.rot90(np.fliplr(p)),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(np.fliplr(p), -1),
    8: np.rot90,
}


class TestOrientation:
    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
    @pytest.mark.parametrize("orientation", TURNS)
    def test_exif(self, tmp_path, suffix, orientation):
        metadata = [np.frombuffer(exif(orientation, "<>"[orientation % 2]), np.uint8)]
        encoded = cv2.imencodeWithMetadata(suffix, CORNERS, [cv2.IMAGE_METADATA_EXIF], metadata)[1]
        path = tmp_path / f"scan{suffix}"
        path.write_bytes(encoded.tobytes())
        case = read_picture(path, [BOX], BUDGET)
        upright = TURNS[orientation](CORNERS).astype(int)
        assert case.volume.shape[1:3] == upright.shape
        shown = case.volume[0] if case.volume.ndim == 3 else case.volume[0, :, :, 1]
        assert np.abs(shown - upright).max() < 20
        said = [f"turned upright (EXIF orientation {orientation}): its boxes and mask are in upright pixels"]
        assert case.warnings == (said if orientation > 1 else [])

    @pytest.mark.parametrize("picture", [CORNERS, np.stack([CORNERS] * 3, axis=-1), CORNERS.astype(np.uint16)])
    @pytest.mark.parametrize("orientation", TURNS)
    def test_tiff(self, tmp_path, picture, orientation):
        path = tmp_path / "scan.tif"
        path.write_bytes(tiff(picture, orientation))
        case = read_picture(path, [BOX], BUDGET)
        expected = picture if picture.dtype == np.uint8 else rescale_percentiles(picture)
        np.testing.assert_array_equal(case.volume[0], TURNS[orientation](expected))
        assert len(case.warnings) == (orientation > 1)

    def test_a_box_is_in_pixels_of_the_upright_picture(self, tmp_path):
        metadata = [np.frombuffer(exif(6), np.uint8)]
        encoded = cv2.imencodeWithMetadata(".png", CORNERS, [cv2.IMAGE_METADATA_EXIF], metadata)[1]
        (tmp_path / "scan.png").write_bytes(encoded.tobytes())
        case = read_picture(tmp_path / "scan.png", [[1, 25, 22, 30]], BUDGET)  # below the 24 rows of the file
        assert case.usable.tolist() == [True]
        np.testing.assert_array_equal(case.boxes, [[1, 25, 0, 22, 30, 0]])

    @pytest.mark.parametrize(
        "block", [exif(0), exif(9), exif(6)[:9], exif(6)[:15], b"II*\0" + b"\xff" * 20, b"nonsense"]
    )
    def test_exif_that_says_nothing(self, tmp_path, block):
        metadata = [np.frombuffer(block, np.uint8)]
        encoded = cv2.imencodeWithMetadata(".png", CORNERS, [cv2.IMAGE_METADATA_EXIF], metadata)[1]
        (tmp_path / "scan.png").write_bytes(encoded.tobytes())
        case = read_picture(tmp_path / "scan.png", [BOX], BUDGET)
        np.testing.assert_array_equal(case.volume[0], CORNERS)
        assert case.warnings == []


def pages(suffix: str, frames: list[np.ndarray]) -> bytes:
    if suffix == ".tif":
        return cv2.imencodemulti(suffix, frames)[1].tobytes()
    animation = cv2.Animation()
    animation.frames, animation.durations = frames, [100] * len(frames)
    return cv2.imencodeanimation(suffix, animation)[1].tobytes()


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".png", ".webp"])
@pytest.mark.parametrize("count", [1, 3])
def test_of_several_pages_or_frames_the_first_is_taken_and_that_is_said(tmp_path, suffix, count):
    first = np.stack([CORNERS] * 3 + [np.full_like(CORNERS, 255)] * (suffix == ".png"), axis=-1)
    (tmp_path / f"scan{suffix}").write_bytes(pages(suffix, [first, 255 - first, first // 2][:count]))
    case = read_picture(tmp_path / f"scan{suffix}", [BOX], BUDGET)
    assert np.abs(case.volume[0].mean(axis=-1) - CORNERS).max() < 40
    assert case.warnings == (["holds 3 pages or frames, of which the first is taken"] if count > 1 else [])


class TestRefused:
    @pytest.mark.parametrize("content", [b"", b"not a picture"])
    def test_no_picture(self, tmp_path, content):
        (tmp_path / "scan.png").write_bytes(content)
        with pytest.raises(CaseError, match="not a picture"):
            image_of(tmp_path / "scan.png")

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
    def test_truncated(self, tmp_path, suffix):
        path = write(tmp_path, suffix, np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8))
        path.write_bytes(path.read_bytes()[:-400])
        with pytest.raises(CaseError, match="damaged"):
            image_of(path)

    def test_missing_file(self, tmp_path):
        with pytest.raises(CaseError, match="No such file"):
            image_of(tmp_path / "absent.png")

    def test_file_larger_than_the_budget(self, tmp_path):
        path = write(tmp_path, ".bmp", RAMP)
        with pytest.raises(CaseError, match="the file needs"):
            image_of(path, path.stat().st_size - 1)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
    def test_no_picture_takes_more_memory_than_it_was_checked_for(self, tmp_path, dtype):
        path = write(tmp_path, ".tif", np.tile(np.arange(1, 501, dtype=dtype) % 251, (400, 1))[..., None].repeat(3, -1))
        tracemalloc.start()
        try:
            image_of(path, BUDGET)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        with pytest.raises(CaseError, match="a picture of 500 x 400 pixels needs"):
            image_of(path, peak - 2**16)

    def test_a_png_whose_chunk_is_longer_than_the_file(self, tmp_path):
        """OpenCV would take 3 GB for this file of a few hundred bytes."""
        path = write(tmp_path, ".png", RAMP)
        data = bytearray(path.read_bytes())
        struct.pack_into(">I", data, data.index(b"IDAT") - 4, 3 << 30)
        path.write_bytes(data)
        with pytest.raises(CaseError, match="a damaged picture"):
            image_of(path)

    def test_what_follows_a_png_is_no_damage(self, tmp_path):
        path = write(tmp_path, ".png", RAMP)
        path.write_bytes(path.read_bytes() + b"\xff" * 40)
        np.testing.assert_array_equal(image_of(path), RAMP)


def test_a_name_that_is_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"scan\xff.png")
    path.write_bytes(cv2.imencode(".png", RAMP)[1].tobytes())
    np.testing.assert_array_equal(image_of(path), RAMP)


def test_mask_is_lossless_or_refused(tmp_path):
    segs = np.array([[0, 1], [256, 300]], np.uint16)
    write_mask(tmp_path / "mask.png", segs)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED), segs)
    with pytest.raises(CaseError, match=r"not '\.jpg'"):
        write_mask(tmp_path / "mask.jpg", segs)
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]


def fuzz_seeds() -> list[bytes]:
    colour = np.stack([RAMP, RAMP[::-1], CORNERS], axis=-1)
    kinds = [(suffix, colour) for suffix in (".png", ".jpg", ".tif", ".webp", ".gif", ".bmp", ".ppm")]
    kinds += [(".tif", RAMP.astype(dtype)) for dtype in (np.int16, np.float32, np.float64)]
    kinds += [(".pfm", colour.astype(np.float32)), (".png", RAMP.astype(np.uint16))]
    turned = cv2.imencodeWithMetadata(".jpg", RAMP, [cv2.IMAGE_METADATA_EXIF], [np.frombuffer(exif(6), np.uint8)])[1]
    several = [pages(suffix, [colour, 255 - colour]) for suffix in (".tif", ".gif", ".webp")]
    return [cv2.imencode(*kind)[1].tobytes() for kind in kinds] + [turned.tobytes(), tiff(RAMP, 6), *several]


def test_whatever_the_bytes_a_case_or_the_documented_error(tmp_path):
    random, seeds = np.random.default_rng(0), fuzz_seeds()
    path, cases, errors = tmp_path / "scan", 0, set()
    for number in range(600):
        data = bytearray(seeds[number % len(seeds)])
        for position in random.beta(0.4, 1, random.integers(1, 9)):  # most of them in the header
            data[int(position * (len(data) - 1))] = random.integers(256)
        path.write_bytes(data[: random.integers(len(data))] if number % 10 == 0 else data)
        try:
            case = read_picture(path, [BOX], BUDGET)
        except CaseError as error:
            errors.add(str(error))
        else:
            assert case.volume.dtype == np.uint8
            cases += 1
    assert cases > 100  # neither all sound nor all damaged
    assert len(errors) > 3
    assert all(error and len(error.splitlines()) == 1 for error in errors)
