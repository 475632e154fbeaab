"""The HTML report of a fitted stack; needs the extra ``report``."""
