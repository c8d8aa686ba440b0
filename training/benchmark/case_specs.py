"""The cases of QMedSAM's Table 8, by size and number of objects."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CaseSpec:
    """One case to build.

    Attributes:
        shape: (H, W) in 2D, (D, H, W) in 3D.
        count: number of boxes.
        source: the validation case that it is resampled from.
        tiles: 2D: the image is first repeated this often along each axis, as a larger field of view.
    """

    shape: tuple[int, ...]
    count: int
    source: str
    tiles: int = 1

    @property
    def is_volume(self) -> bool:
        return len(self.shape) == 3

    @property
    def name(self) -> str:
        """`3DBox_287x512x512_6`, as the contract names cases."""
        return f"{len(self.shape)}DBox_{'x'.join(map(str, self.shape))}_{self.count}"


SPECS = (
    CaseSpec((287, 512, 512), 6, "3DBox_MR_0008"),
    CaseSpec((237, 512, 512), 6, "3DBox_MR_0002"),
    CaseSpec((246, 512, 512), 1, "3DBox_CT_0001"),
    CaseSpec((115, 400, 400), 6, "3DBox_MR_0008"),
    CaseSpec((64, 290, 320), 6, "3DBox_MR_0001"),
    CaseSpec((84, 512, 512), 1, "3DBox_MR_0006"),
    CaseSpec((264, 200, 200), 1, "3DBox_PET_0001"),
    CaseSpec((256, 256), 1, "2DBox_US_0002"),
    CaseSpec((320, 640), 34, "2DBox_X-Ray_0004"),
    CaseSpec((3024, 4032), 1, "2DBox_Dermoscopy_0003"),
    CaseSpec((480, 560), 1, "2DBox_Endoscopy_0008"),
    CaseSpec((2048, 2048), 1, "2DBox_Fundus_0002"),
    CaseSpec((1536, 2040), 19, "2DBox_Microscopy_0004"),
    CaseSpec((1920, 2560), 241, "2DBox_Microscopy_0008", tiles=2),
)
