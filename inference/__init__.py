"""Segments medical images with boxes as prompts, on the CPU. In Python that is `Predictor`; its errors are `CaseError`
for an image or a box that cannot be segmented, and `SetupError` for weights that cannot be used.

This package is the runtime: reads cases, runs the ONNX models on OpenVINO, writes masks. It never imports torch or
`training`. Installed it is called `qmedsam`, in a checkout `inference`.

The way of the data:

    cli, jobs, run        what the user wants (`arguments`, `options`); every case of a folder on its own
    predictor             or what a Python program wants: an image and boxes as arrays
    cases.npz, case       a file becomes a `Case`: a volume (D, H, W[, 3]) and a box per object
    segment.plan          before any work: windows, route, blocks, lanes and memory, in one `Plan`
    segment.sweep         carries the plan out, visit by visit:
    segment.preprocess      a window of a slice becomes the encoder's input
    model.pair              the input becomes an image embedding; a block of boxes on it, low-resolution logits
    segment.resample        logits come to the size of the slice, where they can be positive
    segment.paint           and into its labels; where objects overlap, one rule decides
    cases.npz, overlay    the result is written, whole or not at all; and a picture for people

Words that mean one thing here:

    object   what a box prompts for; its label is its number, counted from 1
    slice    an image (H, W[, 3]) of a volume; a 2D case is a volume of one slice
    window   a rectangle of the slice that the encoder sees: the whole image, or a part that magnifies small objects
    view     a window of a slice, encoded once, with the objects that are segmented on it
    visit    one go at a slice: its views
    chain    visits one after the other; the route is all chains of a case
    lane     a thread that walks along chains, side by side with others
    block    the boxes that are decoded at once
"""

__version__ = "0.1.0"

TYPE_CHECKING = False  # to type checkers it is true: importing `typing` would cost every start 3 ms
if TYPE_CHECKING:
    from .errors import CaseError, SetupError
    from .predictor import Predictor

__all__ = ["CaseError", "Predictor", "SetupError", "__version__"]


def __getattr__(name: str) -> object:
    """Load what is asked for, and only then: a run from the command line begins with this package, too."""
    if name == "Predictor":
        from .predictor import Predictor

        return Predictor
    if name in ("CaseError", "SetupError"):
        from . import errors

        return getattr(errors, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
