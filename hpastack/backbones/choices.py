"""Names that options of a backbone take; free of torch, so that recipes can be checked without."""

#: Ways to fit the three colour filters of a first layer to the stains.
STEMS = ("average", "copy", "repeat", "random")
