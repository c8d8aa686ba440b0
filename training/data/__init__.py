"""The training data: cases on disk, their index, targets, sampling, augmentation and batches."""
