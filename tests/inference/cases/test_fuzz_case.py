"""Fuzzing the case reader: whatever the bytes, a valid case or the documented error, and nothing else."""

import io
import os
import zipfile

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.cases.case import read_case
from inference.errors import CaseError

BUDGET = 2**20
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
# The same examples in every run, so that the suite's answer depends on the code alone; `make fuzz` draws new ones.
SETTINGS = settings(
    max_examples=EXAMPLES,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def npz_bytes(compressed: bool) -> bytes:
    buffer = io.BytesIO()
    arrays = {"imgs": np.arange(600, dtype=np.uint8).reshape(20, 30), "boxes": np.array([[2, 3, 20, 15]])}
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


VALID = {compressed: npz_bytes(compressed) for compressed in (False, True)}


def read(folder, data: bytes):
    """The case in these bytes, or None where they are refused as documented."""
    path = folder / "case.npz"
    path.write_bytes(data)
    message = None
    try:
        case = read_case(path, BUDGET)
    except CaseError as error:
        message = str(error)
    if message is not None:
        assert message
        assert len(message.splitlines()) == 1
        return None
    assert case.volume.dtype in (np.uint8, np.float32)
    assert case.boxes.shape == (len(case.usable), 6)
    assert len(case.problems) == len(case.usable) - case.usable.sum()
    assert np.isfinite(case.boxes).all()
    return case


def test_the_unchanged_file_is_read(tmp_path):
    for data in VALID.values():
        assert read(tmp_path, data) is not None


def test_a_name_that_claims_to_be_utf8_and_is_not(tmp_path):
    """Found by fuzzing: zipfile lets the UnicodeDecodeError through."""
    data = bytearray(VALID[False])
    header = data.rindex(b"PK\x03\x04")  # of boxes.npy
    data[header + 7] |= 0x08  # flag: the name is UTF-8
    data[header + 30] = 0xA0
    assert read(tmp_path, bytes(data)) is None


@SETTINGS
@given(
    compressed=st.booleans(),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_changed_bytes(tmp_path, compressed, edits):
    data = bytearray(VALID[compressed])
    for position, value in edits:
        data[position % len(data)] = value
    read(tmp_path, bytes(data))


@SETTINGS
@given(
    compressed=st.booleans(), start=st.integers(0, 10_000), length=st.integers(1, 400), filler=st.binary(max_size=40)
)
def test_replaced_stretches(tmp_path, compressed, start, length, filler):
    data = VALID[compressed]
    start %= len(data)
    read(tmp_path, data[:start] + filler + data[start + length :])


@SETTINGS
@given(
    descr=st.one_of(
        st.sampled_from(["'|u1'", "'<f8'", "'|O'", "'<i4'", "'|V8'", "[('a', '<f4')]"]), st.text(max_size=20)
    ),
    shape=st.one_of(st.lists(st.integers(-5, 10**12), max_size=6).map(tuple).map(str), st.text(max_size=20)),
    content=st.binary(max_size=2000),
)
def test_headers(tmp_path, descr, shape, content):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode("utf-8", "replace") + b"\n"
    member = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("imgs.npy", member)
        archive.writestr("boxes.npy", member)
    read(tmp_path, buffer.getvalue())


@SETTINGS
@given(data=st.binary(max_size=500))
def test_any_bytes(tmp_path, data):
    read(tmp_path, data)
    read(tmp_path, b"PK\x03\x04" + data)
