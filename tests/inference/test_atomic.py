"""Files are whole or absent."""

import os
import time

import pytest

from inference.atomic import (
    PREFIX,
    STALE_SECONDS,
    SUFFIX,
    check_writable,
    remove_stale,
    replace_atomically,
    write_atomically,
)


def test_written_and_readable_as_the_umask_says(tmp_path):
    umask = os.umask(0o022)
    try:
        write_atomically(tmp_path / "a", lambda file: file.write(b"whole"))
    finally:
        os.umask(umask)
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("fault", [OSError, KeyboardInterrupt, SystemExit])
def test_a_fault_leaves_what_was_there_and_nothing_else(tmp_path, fault):
    (tmp_path / "a").write_bytes(b"old")

    def half(file):
        file.write(b"ha")
        file.flush()
        raise fault

    with pytest.raises(fault):
        write_atomically(tmp_path / "a", half)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_the_longest_name_that_a_file_may_have(tmp_path):
    write_atomically(tmp_path / ("x" * 255), lambda file: file.write(b"whole"))
    assert (tmp_path / ("x" * 255)).read_bytes() == b"whole"


def test_a_link_is_replaced_and_what_it_leads_to_is_not(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "a").symlink_to("elsewhere")
    write_atomically(tmp_path / "a", lambda file: file.write(b"whole"))
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"
    assert not (tmp_path / "a").is_symlink()


def test_check_leaves_nothing(tmp_path):
    check_writable(tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        check_writable(tmp_path / "absent")


def test_stale_files_are_ours_and_old(tmp_path):
    names = {
        "fresh": f"{PREFIX}1{SUFFIX}",
        "stale": f"{PREFIX}2{SUFFIX}",
        "someone's": ".other.part",
        "result": "a.npz",
    }
    for name in names.values():
        (tmp_path / name).write_bytes(b"")
    long_ago = time.time() - STALE_SECONDS - 1
    for kind in ("stale", "someone's", "result"):
        os.utime(tmp_path / names[kind], (long_ago, long_ago))
    remove_stale(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names.values()) - {names["stale"]}


def test_a_library_that_opens_files_itself(tmp_path):
    """It chooses a format by the ending; a fault leaves what was there; what was left by one that was killed goes."""
    (tmp_path / "a.nii.gz").write_bytes(b"old")

    def half(temporary):
        assert temporary.name.endswith(".nii.gz")
        temporary.write_bytes(b"ha")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        replace_atomically(tmp_path / "a.nii.gz", half, ".nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]
    replace_atomically(tmp_path / "a.nii.gz", lambda temporary: temporary.write_bytes(b"new"), ".nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == b"new"
    left = tmp_path / f"{PREFIX}0{SUFFIX}.nii.gz"
    left.touch()
    old = time.time() - 2 * STALE_SECONDS
    os.utime(left, (old, old))
    remove_stale(tmp_path)
    assert not left.exists()
