"""Arrays as they travel: what nnInteractive's client packs is unpacked, and the other way round; damage is refused."""

import math
import struct

import blosc2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nnInteractive.inference.remote.serialization import pack_array, unpack_array

from inference.serve.refused import Refused
from inference.serve.wire import pack, parse, unpack

SIDE = 1000
VALUES = (np.arange(1 * 5 * 30 * 40) % 251).reshape(1, 5, 30, 40)
TYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
]
SHUFFLED = {"filters": [blosc2.Filter.SHUFFLE]}
PAYLOAD = 8 + len("int16") + 4 * 8 + 4  # where the first chunk's sizes stand in BODY
CHUNK = PAYLOAD + 16
BODY = pack_array(VALUES.astype(np.int16), **SHUFFLED)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("how", [{}, SHUFFLED, {"codec": blosc2.Codec.LZ4}], ids=["chosen", "shuffle", "LZ4"])
def test_what_the_client_packs_is_unpacked(dtype, how):
    values = VALUES.astype(dtype)
    packed = parse(pack_array(values, **how), SIDE)
    assert (packed.dtype, packed.shape, packed.nbytes) == (values.dtype, values.shape, values.nbytes)
    np.testing.assert_array_equal(unpack(packed), values, strict=True)


@pytest.mark.parametrize("values", [np.zeros((2, 3, 5)), np.full((9, 9), np.nan, np.float32), np.ones((1, 1, 1), bool)])
def test_arrays_of_one_value_are_unpacked(values):
    np.testing.assert_array_equal(unpack(parse(pack_array(values), SIDE)), values, strict=True)


def test_an_array_of_several_chunks_is_unpacked(monkeypatch):
    monkeypatch.setattr("nnInteractive.inference.remote.serialization._CHUNK_SIZE", 4096)
    packed = parse(pack_array(VALUES.astype(np.int16)), SIDE)
    assert len(packed.chunks) == math.ceil(VALUES.size * 2 / 4096)
    np.testing.assert_array_equal(unpack(packed), VALUES)


@pytest.mark.parametrize("largest", [2**30, 100])
@pytest.mark.parametrize("part", [np.s_[:], np.s_[1:3, 4:, ::3], np.s_[0:1, 0:1, 0:1]], ids=str)
def test_what_is_packed_the_client_unpacks(part, largest, monkeypatch):
    monkeypatch.setattr("inference.serve.wire.LARGEST_CHUNK", largest)
    mask = (VALUES[0][part] > 100).view(np.uint8)
    np.testing.assert_array_equal(unpack_array(pack(mask)), mask, strict=True)


def changed(offset: int, form: str, value) -> bytes:
    body = bytearray(BODY)
    struct.pack_into(form, body, offset, value)
    return bytes(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "cut off"),
        (b"\x80\x04N.", "cut off"),  # a pickle
        (b"\x93NUMPY\x01\x00" + bytes(100), "not an array of nnInteractive's protocol"),
        (changed(4, "<B", 2), "not an array of nnInteractive's protocol"),
        (changed(5, "<B", 9), "not an array of nnInteractive's protocol"),
        (changed(6, "<B", 200), "200 axes"),
        (pack_array(VALUES.astype("complex64")), "a type that is none of bool"),
        (pack_array(np.array([b"ab"])), "a type that is none of bool"),
        (BODY.replace(b"int16", b"\xffnt16"), "cut off"),
        (changed(13, "<q", 0), r"shape \(0, 5, 30, 40\), expected axes of 1 to 1000"),
        (changed(13, "<q", -1), r"shape \(-1, 5"),
        (changed(13, "<q", 2**62), "expected axes of 1 to 1000"),
        (changed(13, "<q", 2), "do not add up to its shape"),
        (changed(PAYLOAD - 4, "<I", 0), "do not add up"),
        (changed(PAYLOAD - 4, "<I", 2), "cut off"),
        (changed(PAYLOAD, "<Q", 2), "is damaged"),
        (changed(PAYLOAD, "<Q", 2**63), "do not have the sizes that they say"),
        (changed(PAYLOAD, "<Q", 11999), "do not have the sizes that they say"),
        (changed(PAYLOAD + 8, "<Q", 2**63), "do not have the sizes that they say"),
        (BODY[:-1], "do not have the sizes that they say"),
        (BODY + b"\0", "do not add up"),
        (changed(CHUNK, "<B", 200), "is damaged, or is not compressed as"),
        (changed(CHUNK + 2, "<B", 0x80), "is damaged, or is not compressed as"),  # no extended header
        (changed(CHUNK + 2, "<B", 0xC5), "is damaged, or is not compressed as"),  # a codec of one's own
        (changed(CHUNK + 4, "<i", 2**31 - 1), "is damaged, or is not compressed as"),
        (changed(CHUNK + 8, "<i", -5), "is damaged, or is not compressed as"),
        (changed(CHUNK + 16, "<B", 160), "is damaged, or is not compressed as"),  # a filter of one's own
        (changed(CHUNK + 31, "<B", 0x08), "is damaged, or is not compressed as"),  # a chunk that lies elsewhere
        (changed(CHUNK + 31, "<B", 0x40), "is damaged, or is not compressed as"),  # values that are left uninitialised
        (BODY[: CHUNK + 40] + bytes(len(BODY) - CHUNK - 40), "a chunk of the array is damaged"),
    ],
)
def test_what_is_no_such_array_or_lies_is_refused(body, reason):
    with pytest.raises(Refused, match=reason):
        unpack(parse(body, SIDE))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.integers(0, len(BODY) - 1), st.integers(0, 255), max_size=4), st.integers(0, len(BODY)))
def test_damage_is_refused_or_harmless(bytes_, length):
    body = bytearray(BODY)
    for at, value in bytes_.items():
        body[at] = value
    try:
        values = unpack(parse(body[:length], SIDE))
    except Refused:
        return
    assert values.nbytes == math.prod(values.shape) * values.itemsize
