"""The four stains of a field: their order, names and file suffixes.

The order is red, green, blue, yellow everywhere: in arrays, in column names
and in model inputs. Nothing else in the package spells these out.
"""

#: Stain names in the order of the first axis of a field.
STAINS = ("red", "green", "blue", "yellow")

#: What each stain shows.
STAIN_MEANINGS = {
    "red": "microtubules",
    "green": "protein of interest",
    "blue": "nucleus",
    "yellow": "endoplasmic reticulum",
}

#: The stain whose place is asked for; the other three are for reference.
PROTEIN = "green"

#: Position of each stain on the first axis of a field.
STAIN_INDEX = {stain: position for position, stain in enumerate(STAINS)}
