"""People's own files in and out: `qmedsam segment`. The only part of the runtime that needs more than the runtime does.

    arguments, cli         what the user wants, and what is done about it
    inputs                 which images there are: a file, a DICOM series, a folder of many
    image                  any of them becomes an `Image`: values as stored, a `Grid`, a modality
    itk, dicom             NIfTI, NRRD, MetaImage; DICOM series and multi-frame files
    whole, coded_size      compressed files by their checksums; compressed pixels by their size
    grid, layout           where voxels lie in the patient; which of the file's axes are slices, rows, columns
    prompts, boxes         the objects that are asked for, from wherever their boxes come
    coco, slicer           COCO; ROIs of 3D Slicer
    label_map              a rough mask
    file_case, file_job    an image and its objects become a case of the runtime, its masks a file again
    label_file, dicom_seg  label maps with the geometry of the image; DICOM SEG
    report                 what people measure next

SimpleITK, pydicom and highdicom are imported where they are used (`extra`).
"""
