"""The runtime: reads cases, runs the ONNX models on OpenVINO, writes masks. Never imports torch or `training`.

The way of the data:

    cli, jobs, run        what the user wants (`arguments`, `options`); every case of a folder on its own
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
