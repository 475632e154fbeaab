"""The HTML report of a fitted stack."""
