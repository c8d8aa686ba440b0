"""Reading cases: what is refused, with which reason, and what is repaired."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from inference.cases.box_count import box_count
from inference.cases.boxes import common_form
from inference.cases.case import read_case
from inference.errors import CaseError

BUDGET = 64 * 2**20
IMAGE = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)
VOLUME = np.stack([IMAGE] * 5)
BOX_2D, BOX_3D = [[3, 4, 30, 40]], [[3, 4, 1, 30, 40, 3]]


def save(folder: Path, **arrays) -> Path:
    path = folder / "case.npz"
    np.savez_compressed(path, **{name: np.asarray(array) for name, array in arrays.items()})
    return path


def npz_of(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "case.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(text: str) -> bytes:
    padded = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


class TestAccepted:
    @pytest.mark.parametrize(
        ("imgs", "boxes", "shape", "is_volume"),
        [
            (IMAGE, BOX_2D, (1, 48, 64), False),
            (np.stack([IMAGE] * 3, axis=-1), BOX_2D, (1, 48, 64), False),
            (VOLUME, BOX_3D, (5, 48, 64), True),
            (np.stack([VOLUME] * 3, axis=-1), BOX_3D, (5, 48, 64), True),
            (VOLUME[:, :, :3], [[0, 0, 0, 2, 9, 4]], (5, 48, 3), True),  # a volume 3 voxels wide is not a colour image
            (IMAGE, BOX_2D[0], (1, 48, 64), False),  # a single box without its outer dimension
        ],
    )
    def test_forms(self, tmp_path, imgs, boxes, shape, is_volume):
        case = read_case(save(tmp_path, imgs=imgs, boxes=boxes), BUDGET)
        assert case.shape == shape
        assert case.is_volume is is_volume
        assert case.boxes.shape == (1, 6)
        assert case.warnings == []

    def test_values_arrive_unchanged(self, tmp_path):
        case = read_case(save(tmp_path, imgs=np.asfortranarray(VOLUME), boxes=BOX_3D), BUDGET)
        np.testing.assert_array_equal(case.volume, VOLUME)
        np.testing.assert_array_equal(case.boxes, BOX_3D)

    @pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.float16, np.float64, bool])
    def test_any_numeric_type_within_range(self, tmp_path, dtype):
        case = read_case(save(tmp_path, imgs=(IMAGE % 2).astype(dtype), boxes=BOX_2D), BUDGET)
        assert case.volume.dtype == (np.float32 if np.dtype(dtype).kind == "f" else np.uint8)
        np.testing.assert_array_equal(case.volume[0], IMAGE % 2)

    def test_2d_box_lies_on_slice_0(self, tmp_path):
        case = read_case(save(tmp_path, imgs=IMAGE, boxes=[[1.5, 2, 10, 12]]), BUDGET)
        np.testing.assert_array_equal(case.boxes, [[1.5, 2, 0, 10, 12, 0]])

    @pytest.mark.parametrize(
        ("imgs", "boxes", "is_volume"),
        [
            (IMAGE, np.empty((0, 4)), False),
            (VOLUME, np.empty((0, 6)), True),
            (VOLUME, np.empty(0), True),
            (np.stack([IMAGE] * 3, axis=-1), np.empty(0), False),
            (VOLUME, np.empty((0, 4)), True),  # columns decide nothing where they cannot be meant
            (np.stack([VOLUME] * 3, axis=-1), np.empty((0, 4)), True),
            (IMAGE, np.empty((0, 6)), False),
            (IMAGE, np.empty(0), False),
            (np.stack([IMAGE] * 3, axis=-1), np.empty((0, 4)), False),
            (VOLUME[:, :, :3], np.empty((0, 6)), True),
        ],
    )
    def test_zero_boxes(self, tmp_path, imgs, boxes, is_volume):
        case = read_case(save(tmp_path, imgs=imgs, boxes=boxes), BUDGET)
        assert (case.boxes.shape, case.usable.shape) == ((0, 6), (0,))
        assert case.is_volume is is_volume
        assert case.shape == (imgs.shape[:3] if is_volume else (1, *imgs.shape[:2]))

    @pytest.mark.parametrize(("count", "dtype"), [(255, np.uint8), (256, np.uint16)])
    def test_label_type(self, tmp_path, count, dtype):
        assert read_case(save(tmp_path, imgs=IMAGE, boxes=BOX_2D * count), BUDGET).segs_dtype == dtype

    def test_real_cases(self, shared_data):
        paths = sorted((shared_data / "val" / "imgs").glob("*.npz"))
        assert len(paths) > 100
        for path in paths:
            case = read_case(path, BUDGET)
            assert case.is_volume is path.name.startswith("3D")
            assert case.usable.all()
            assert (case.warnings, case.problems) == ([], [])


class TestRepaired:
    def test_box_that_sticks_out_is_clipped(self, tmp_path):
        case = read_case(save(tmp_path, imgs=IMAGE, boxes=[[-5, -6, 80, 90], [0, 0, 64, 48]]), BUDGET)
        np.testing.assert_array_equal(case.boxes[:, [0, 1, 3, 4]], [[0, 0, 64, 48]] * 2)
        assert case.warnings == ["box 1 stuck out of the image, clipped"]

    def test_box_one_pixel_wide_is_a_good_box(self, tmp_path):
        case = read_case(save(tmp_path, imgs=IMAGE, boxes=[[5, 5, 5, 9]]), BUDGET)
        np.testing.assert_array_equal(case.boxes, [[5, 5, 0, 5, 9, 0]])
        assert (case.usable.tolist(), case.warnings, case.problems) == ([True], [], [])

    @pytest.mark.parametrize(
        ("imgs", "good", "bad", "where"),
        [
            (IMAGE, BOX_2D[0], [64, 0, 70, 5], "slices 1"),
            (VOLUME, BOX_3D[0], [3, 4, 5, 30, 40, 9], "slices 5"),
        ],
    )
    def test_unusable_boxes_cost_their_own_objects_only(self, tmp_path, imgs, good, bad, where):
        boxes = [good, bad, [np.nan] * len(good), good]
        case = read_case(save(tmp_path, imgs=imgs, boxes=boxes), BUDGET)
        assert case.usable.tolist() == [True, False, False, True]
        np.testing.assert_array_equal(case.boxes[[1, 2]], np.zeros((2, 6)))
        np.testing.assert_array_equal(case.boxes[[0, 3]], common_form(np.array([good, good])))
        assert case.problems == [
            f"box 2 is outside the image (width 64, height 48, {where})",
            "box 3 holds NaN or infinity",
        ]
        assert case.warnings == []

    def test_swapped_corners_are_reordered(self, tmp_path):
        case = read_case(save(tmp_path, imgs=VOLUME, boxes=[[30, 4, 3, 3, 40, 1]] * 2), BUDGET)
        np.testing.assert_array_equal(case.boxes, BOX_3D * 2)
        assert case.warnings == ["boxes 1, 2 swapped corners, reordered"]

    def test_slices_outside_the_volume_are_clipped(self, tmp_path):
        case = read_case(save(tmp_path, imgs=VOLUME, boxes=[[3, 4, -2, 30, 40, 99]]), BUDGET)
        np.testing.assert_array_equal(case.boxes, [[3, 4, 0, 30, 40, 4]])


class TestRefused:
    @pytest.mark.parametrize(
        ("arrays", "reason"),
        [
            ({"imgs": IMAGE}, "'boxes' is missing"),
            ({"boxes": BOX_2D}, "'imgs' is missing"),
            ({"imgs": IMAGE, "boxes": [[1, 2, 3, 4, 5]]}, r"'boxes' has shape \(1, 5\)"),
            ({"imgs": IMAGE, "boxes": [[[1, 2, 3, 4]]]}, r"'boxes' has shape \(1, 1, 4\)"),
            ({"imgs": IMAGE, "boxes": BOX_3D}, r"'imgs' has shape \(48, 64\)"),
            ({"imgs": VOLUME, "boxes": BOX_2D}, r"'imgs' has shape \(5, 48, 64\)"),
            ({"imgs": VOLUME[None, None], "boxes": BOX_3D}, "'imgs' has shape"),
            ({"imgs": IMAGE[:0], "boxes": BOX_2D}, "'imgs' is empty"),
            ({"imgs": np.full((9, 9), np.nan), "boxes": BOX_2D}, "NaN"),
            ({"imgs": np.full((9, 9), np.inf), "boxes": BOX_2D}, "infinity"),
            ({"imgs": IMAGE.astype(np.int16) - 1, "boxes": BOX_2D}, r"values -1\.\.254"),
            ({"imgs": IMAGE.astype(np.float32) * 2, "boxes": BOX_2D}, r"values 0\.\.510"),
            ({"imgs": IMAGE.astype(np.complex64), "boxes": BOX_2D}, "complex64, not numbers"),
            ({"imgs": np.array(["a"]), "boxes": BOX_2D}, "not numbers"),
            ({"imgs": IMAGE, "boxes": BOX_2D * 65536}, "65536 boxes"),
        ],
    )
    def test_content(self, tmp_path, arrays, reason):
        with pytest.raises(CaseError, match=reason):
            read_case(save(tmp_path, **arrays), BUDGET)

    def test_object_array_is_not_unpickled(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return (open, (str(tmp_path / "trap"), "w"))

        imgs = np.empty(1, object)
        imgs[0] = Trap()
        with pytest.raises(CaseError, match="object array"):
            read_case(save(tmp_path, imgs=imgs, boxes=BOX_2D), BUDGET)
        assert not (tmp_path / "trap").exists()

    def test_bare_pickle(self, tmp_path):
        path = tmp_path / "case.npz"
        path.write_bytes(pickle.dumps({"imgs": IMAGE, "boxes": BOX_2D}))
        with pytest.raises(CaseError, match="not a whole npz file"):
            read_case(path, BUDGET)

    def test_pickle_as_member(self, tmp_path):
        path = npz_of(tmp_path, {"imgs.npy": pickle.dumps(IMAGE), "boxes.npy": npy(np.array(BOX_2D))})
        with pytest.raises(CaseError, match="no valid npy header"):
            read_case(path, BUDGET)

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
    def test_not_a_zip(self, tmp_path, content):
        path = tmp_path / "case.npz"
        path.write_bytes(content)
        with pytest.raises(CaseError, match="not a whole npz file"):
            read_case(path, BUDGET)

    def test_truncated_anywhere(self, tmp_path):
        path = save(tmp_path, imgs=IMAGE, boxes=BOX_2D)
        whole = path.read_bytes()
        for length in range(0, len(whole), max(1, len(whole) // 100)):
            path.write_bytes(whole[:length])
            with pytest.raises(CaseError):
                read_case(path, BUDGET)

    def test_wrong_crc(self, tmp_path):
        path = tmp_path / "case.npz"
        np.savez(path, imgs=IMAGE, boxes=np.array(BOX_2D))
        damaged = bytearray(path.read_bytes())
        damaged[damaged.index(IMAGE.tobytes()[:64]) + 20] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(CaseError, match="CRC"):
            read_case(path, BUDGET)

    @pytest.mark.parametrize(
        ("header", "reason"),
        [
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000), }", "the limit allows"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (48, 640), }", "truncated"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (20, 30), }", "more data than its header says"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (-4, 4), }", "negative shape"),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (4, 4), }", "object array"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4, 4), }", "not numbers"),
            ("__import__('os').system('true')", "no valid npy header"),
            ("{'descr': '|u1'}", "no valid npy header"),
        ],
    )
    def test_header(self, tmp_path, header, reason):
        members = {"imgs.npy": npy_header(header) + IMAGE.tobytes(), "boxes.npy": npy(np.array(BOX_2D))}
        with pytest.raises(CaseError, match=reason):
            read_case(npz_of(tmp_path, members), BUDGET)

    def test_larger_than_the_budget(self, tmp_path):
        with pytest.raises(CaseError, match="the limit allows"):
            read_case(save(tmp_path, imgs=np.zeros((3, 1024, 1024), np.uint8), boxes=BOX_3D), max_bytes=2**20)

    def test_folder_instead_of_a_file(self, tmp_path):
        path = tmp_path / "case.npz"
        path.mkdir()
        with pytest.raises(CaseError, match="cannot be read"):
            read_case(path, BUDGET)

    @pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
    def test_compression_that_numpy_never_writes(self, tmp_path, compression):
        path = tmp_path / "case.npz"
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("imgs.npy", npy(IMAGE))
            archive.writestr("boxes.npy", npy(np.array(BOX_2D)))
        with pytest.raises(CaseError, match=f"method {compression}"):
            read_case(path, BUDGET)


def test_the_number_of_boxes_is_a_hint_that_no_file_can_fail(tmp_path):
    assert box_count(save(tmp_path, imgs=IMAGE, boxes=BOX_2D * 7)) == 7
    assert box_count(save(tmp_path, imgs=IMAGE, boxes=BOX_2D[0])) == 0  # which is read as one
    assert box_count(save(tmp_path, imgs=IMAGE)) == 0
    assert box_count(npz_of(tmp_path, {"boxes.npy": b"no array"})) == 0
    for count, told in ((65535, 65535), (65536, 0)):  # labels end there
        assert box_count(save(tmp_path, imgs=IMAGE, boxes=np.zeros((count, 4), np.uint8))) == told
    huge = npy(np.array(BOX_2D * 7)).replace(b"(7, 4), }          ", b"(%d, 4), }" % 10**9)  # as long as before
    assert box_count(npz_of(tmp_path, {"boxes.npy": huge})) == 0
    (tmp_path / "case.npz").write_bytes(b"no archive")
    assert box_count(tmp_path / "case.npz") == 0
    assert box_count(tmp_path / "absent.npz") == 0
