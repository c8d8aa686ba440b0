"""The training loop, `training.trainer.loop`, and its parts, one idea per file."""
