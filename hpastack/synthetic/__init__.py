"""Synthetic labelled fields: the data set of the demo and of the tests."""

from hpastack.synthetic.fields import contact_sheet, draw_field

__all__ = ["contact_sheet", "draw_field"]
