"""Scores: of a mask, a case, a folder, a model on validation cases; and their means and tables."""
