"""No run writes over a file that it read, nor over a result of its own: it is refused before anything is written."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.errors import EXIT_OK, EXIT_SETUP
from tests.system.small_cases import IMAGE, write_cases

BOX = ("--box", "10,10,60,50")


def contents(folder: Path) -> dict[str, bytes]:
    """What lies in a folder and all below it, through links too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(tmp_path, run):
    """Fails unless the run says in one line what would be lost, and loses nothing."""

    def refused(*arguments) -> str:
        before = contents(tmp_path)
        result = run(*arguments)
        assert result.returncode == EXIT_SETUP
        assert contents(tmp_path) == before
        assert len(result.stderr.splitlines()) == 1
        return result.stderr

    return refused


class TestPicture:
    @pytest.fixture(autouse=True)
    def picture(self, tmp_path):
        (tmp_path / "scans").mkdir()
        picture = tmp_path / "scans" / "a.png"
        cv2.imwrite(str(picture), IMAGE)
        return picture

    def test_overlay_in_the_folder_of_the_picture(self, tmp_path, picture, refused):
        line = refused("--image", picture, *BOX, "-o", tmp_path / "mask.png", "--overlay", picture.parent)
        assert line == f"ERROR: {picture}: would replace {picture}, which this run reads; choose another place\n"

    def test_overlay_in_that_folder_by_another_way(self, tmp_path, picture, refused):
        (tmp_path / "link").symlink_to(picture.parent)
        refused("--image", picture, *BOX, "-o", tmp_path / "mask.png", "--overlay", tmp_path / "link")

    @pytest.mark.parametrize("overlays", ["out", "out/../out"])
    @pytest.mark.parametrize("is_there", [True, False])
    def test_overlay_over_the_mask(self, tmp_path, picture, refused, overlays, is_there):
        if is_there:
            (tmp_path / "out").mkdir()
        line = refused("--image", picture, *BOX, "-o", tmp_path / "out" / "a.png", "--overlay", tmp_path / overlays)
        assert "masks and overlay would both be written there" in line

    @pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
    def test_mask_over_a_link_to_the_picture(self, tmp_path, picture, refused, link):
        link(tmp_path / "mask.png", picture)
        refused("--image", picture, *BOX, "-o", tmp_path / "mask.png")

    def test_mask_over_what_the_picture_is_a_link_to(self, tmp_path, picture, refused):
        (tmp_path / "link.png").symlink_to(picture)
        refused("--image", tmp_path / "link.png", *BOX, "-o", picture)

    @pytest.mark.parametrize("mask", ["absent/../scans/a.png", "scans/absent/../a.png", "a/b/../../scans/a.png"])
    def test_mask_over_the_picture_through_a_folder_that_would_be_made(self, tmp_path, picture, refused, mask):
        refused("--image", picture, *BOX, "-o", f"{tmp_path}/{mask}")

    def test_mask_over_the_weights(self, tmp_path, picture, refused, untrained):
        (tmp_path / "mask.png").symlink_to(untrained("light")[1] / "encoder.onnx")
        assert "encoder.onnx, which this run reads" in refused("--image", picture, *BOX, "-o", tmp_path / "mask.png")

    def test_mask_and_overlay_beside_the_picture_under_other_names_are_fine(self, tmp_path, picture, run):
        picture = picture.rename(picture.with_name("a.scan.png"))
        cv2.imwrite(str(picture.with_suffix(".tif")), IMAGE)
        before = contents(tmp_path)
        result = run("--image", picture.with_suffix(".tif"), *BOX, "-o", tmp_path / "scans" / "mask.png",
                     "--overlay", tmp_path / "scans" / "overlays")  # fmt: skip
        assert result.returncode == EXIT_OK, result.stderr
        assert contents(tmp_path).items() >= before.items()


class TestFolder:
    @pytest.fixture(autouse=True)
    def cases(self, folders):
        return [folders[0] / name for name in write_cases(folders[0], 3)]

    def test_results_in_the_folder_of_the_cases(self, folders, refused):
        (folders[0].parent / "link").symlink_to(folders[0])
        assert "would replace them" in refused("-i", folders[0], "-o", folders[0].parent / "link")

    def test_results_over_links_to_cases_through_a_folder_that_would_be_made(self, folders, cases, refused):
        folders[1].mkdir()
        (folders[1] / cases[0].name).symlink_to(cases[2])
        refused("-i", folders[0], "-o", f"{folders[1]}/absent/..")

    def test_overlays_in_the_folder_of_the_cases(self, folders, refused):
        assert "overlays might replace" in refused("-i", *folders[:1], "-o", folders[1], "--overlay", folders[0])

    def test_results_over_what_the_cases_are_links_to(self, folders, cases, refused):
        folders[1].mkdir()
        cases[1].rename(folders[1] / cases[1].name)
        cases[1].symlink_to(folders[1] / cases[1].name)
        refused("-i", folders[0], "-o", folders[1])

    @pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
    @pytest.mark.parametrize("more", [(), ("--shard", "1/3"), ("--skip-existing",)])
    def test_results_over_links_to_cases_of_any_shard(self, folders, cases, refused, link, more):
        folders[1].mkdir()
        link(folders[1] / cases[0].name, cases[2])
        refused("-i", folders[0], "-o", folders[1], *more)

    def test_overlays_over_the_weights(self, folders, cases, refused, untrained):
        overlays = folders[0].parent / "overlays"
        overlays.mkdir()
        os.symlink(untrained("light")[1] / "decoder.onnx", overlays / f"{cases[2].stem}.png")
        refused("-i", folders[0], "-o", folders[1], "--overlay", overlays)

    def test_results_that_are_links_to_one_another_are_replaced_one_by_one(self, folders, cases, run):
        folders[1].mkdir()
        np.savez(folders[1] / cases[0].name, segs=np.zeros(3))
        (folders[1] / cases[1].name).hardlink_to(folders[1] / cases[0].name)
        assert run("-i", folders[0], "-o", folders[1]).returncode == EXIT_OK
        assert all(np.load(folders[1] / path.name)["segs"].shape == IMAGE.shape for path in cases)
