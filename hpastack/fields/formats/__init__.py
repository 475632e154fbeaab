"""Formats of image files: how each is recognised, checked and decoded."""
