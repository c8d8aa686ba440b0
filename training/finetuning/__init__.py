"""Fine-tuning on a person's own images: what is held out, how it is learned, and whether it was worth it."""
