"""Allowed values of backbone options; without torch, so that recipes can be checked without it."""

#: Ways to adapt the three colour filters of a first layer to the stains.
STEMS = ("average", "copy", "repeat", "random")
