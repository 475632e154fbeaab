"""The HTML report of a fitted stack; requires the extra ``report``."""
