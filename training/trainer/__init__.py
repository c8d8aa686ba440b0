"""Parts of the training loop in `training.train`, one idea per file."""
