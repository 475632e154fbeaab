"""The packed file: every field decoded once, for networks to read."""
