"""Names of subcellular locations in the Human Protein Atlas, and the labels they map to.

HPA has renamed locations over the years, and has more of them than a vocabulary has
labels. A name that is another spelling of a label is mapped to it. A name that is
broader, narrower or newer than any label is not mapped, because its label would be a
guess. A name unknown to HPA raises `UnknownName`: it is misspelt, or from another
source.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from hpastack.errors import InputError
from hpastack.files import named_column, read_text_table
from hpastack.labels.vocabulary import HPA_2018, Vocabulary

#: Other names that HPA has used for a location, and its name in HPA 2018.
#: Case, whitespace and "and" for "&" are ignored and need no entry.
SYNONYMS = {
    "Nucleus but not nucleoli": "Nucleoplasm",
    "Nucleoli (fibrillar center)": "Nucleoli fibrillar center",
    "Nucleoli fibrillar centre": "Nucleoli fibrillar center",
    "Cytoskeleton (Actin filaments)": "Actin filaments",
    "Cytoskeleton (Intermediate filaments)": "Intermediate filaments",
    "Cytoskeleton (Microtubules)": "Microtubules",
    "Cytoskeleton (Microtubule end)": "Microtubule ends",
    "Cytoskeleton (Cytokinetic bridge)": "Cytokinetic bridge",
    "Microtubule end": "Microtubule ends",
    "Microtubule organizing centre": "Microtubule organizing center",
    "Microtubule organising centre": "Microtubule organizing center",
    "Focal adhesions": "Focal adhesion sites",
    "Golgi": "Golgi apparatus",
}

#: Locations in HPA without a label in HPA 2018.
OTHER_PLACES = (
    "Acrosome", "Annulus", "Basal body", "Calyx", "Centriolar satellite", "Cleavage furrow",
    "Connecting piece", "Cytoplasm", "Cytoskeleton", "End piece", "Equatorial segment",
    "Flagellar centriole", "Kinetochore", "Mid piece", "Midbody", "Midbody ring",
    "Mitotic chromosome", "Negative", "Nucleoli rim", "Nucleus", "Perinuclear theca",
    "Primary cilium", "Primary cilium tip", "Primary cilium transition zone", "Principal piece",
    "Vesicles", "Vesicles and punctate cytosolic patterns",
)  # fmt: skip

# From HPA's gene ontology column: "Cytosol (GO:0005829)", "Rods & Rings ()".
_ONTOLOGY = re.compile(r"\s*\((GO:[0-9]+)?\)\s*$", re.IGNORECASE)
# Lists in the syntax of Python, R and Julia: [16, 0], {16, 0}; of names: ['Nucleoli'].
_BRACKETS = re.compile(r"\s*([\[({])(.*)[\])}]\s*")
_QUOTES = re.compile(r"""\s*(["'])(.*)\1\s*""")
_NUMBERED = re.compile(r"(?:labels?|class|target|prob|proba|y)?[\s_-]*([0-9]+)", re.IGNORECASE)
_ID = re.compile(r"([0-9]+)(?:\.0*)?")


class UnknownName(InputError):
    """A name that is neither a label nor a location of HPA.

    Parameters
    ----------
    name : str
        The unknown name, kept as an attribute.
    labels : iterable of str
        The labels of the vocabulary, to suggest a similar one.
    where : str
        Start of the message, such as the field.
    """

    def __init__(self, name: str, labels: Iterable[str], where: str) -> None:
        self.name = name
        known = {_plain(label): label for label in labels}
        similar = get_close_matches(_plain(name), known, n=1)
        suggestion = f" (is it {known[similar[0]]!r}?)" if similar else ""
        super().__init__(
            f"{where}: {name!r} is neither a label nor an HPA location{suggestion}; correct it, or "
            "map it to a label with locations (an empty label means none)",
            "locations",
        )


class Locations:
    """Mapping of location names to the labels of a vocabulary.

    Parameters
    ----------
    vocabulary : Vocabulary
        Its own names are mapped, and the names in `SYNONYMS` whose label it contains.
    more : mapping of str to str, optional
        Additional names, each with the name or id of its label, or "" for
        none; they take precedence over all others.

    Raises
    ------
    InputError
        If a label of `more` is not in the vocabulary.

    Examples
    --------
    >>> from hpastack.labels import HPA_2018
    >>> Locations(HPA_2018).read_target("Rods & Rings;Vesicles; golgi  apparatus")
    ('27 7', ['Vesicles'])
    >>> Locations(HPA_2018, {"Midbody": "Cytokinetic bridge"}).read_target("Midbody, Cytosol")
    ('16 25', [])
    """

    def __init__(self, vocabulary: Vocabulary, more: Mapping[str, str] | None = None) -> None:
        self.vocabulary = vocabulary
        own = {_plain(name): label for label, name in enumerate(vocabulary)}
        renamed = {
            _plain(name): own[_plain(label)]
            for name, label in SYNONYMS.items()
            if _plain(label) in own
        }
        # A name in the vocabulary takes precedence over an earlier HPA name.
        self._labels: dict[str, int | None] = {
            **dict.fromkeys(_plain(name) for name in (*OTHER_PLACES, *SYNONYMS, *HPA_2018)),
            **renamed,
            **own,
        }
        for name, label in (more or {}).items():
            is_none = not label.strip()
            self._labels[_plain(name)] = None if is_none else self._label_of(name, label, own)

    def _label_of(self, name: str, label: str, own: Mapping[str, int]) -> int:
        if _plain(label) in own:
            return own[_plain(label)]
        ids = self.vocabulary.parse(label, where=f"location {name!r}")
        if len(ids) > 1:
            raise InputError(f"location {name!r}: {label!r} is more than one label")
        return ids[0]

    def read_target(self, text: str, where: str = "target") -> tuple[str, list[str]]:
        """Read labels written as ids or as location names.

        Parameters
        ----------
        text : str
            Ids, as read by `label_ids`, or names separated by semicolons or ``|``; without these,
            by commas. Case, repeated spaces, brackets around the list, quotes around a name and
            ``(GO:...)`` after it are ignored.
        where : str, default="target"
            Name of the target in errors.

        Returns
        -------
        target : str
            Label ids separated by single spaces, each once, in the order
            written; "" if no name maps to a label.
        unmapped : list of str
            The known names without a label, as written.

        Raises
        ------
        UnknownName
            If a name is unknown.
        InputError
            If an id is unknown or duplicate, or an unknown name contains a
            digit (HPA's names have none, so it must be an invalid id).
        """
        ids = label_ids(text)
        if ids is not None:
            self.vocabulary.parse(ids, allow_empty=True, where=where)
            return ids, []
        labels: dict[int, None] = {}
        unmapped: dict[str, None] = {}
        for name in self._names(text):
            plain = _plain(name)
            label = self._labels.get(plain)
            if label is not None:
                labels[label] = None
            elif plain in self._labels:
                unmapped[" ".join(name.split())] = None
            elif any(character.isdigit() for character in name):
                raise InputError(
                    f"{where}: unknown label {name!r}; labels are the ids 0 to "
                    f"{len(self.vocabulary) - 1} separated by spaces, or names separated by ;"
                )
            else:
                raise UnknownName(" ".join(name.split()), self.vocabulary, where)
        return " ".join(map(str, labels)), list(unmapped)

    def _names(self, text: str) -> list[str]:
        if _plain(text) in self._labels:  # a name in a vocabulary may contain a comma
            return [text]
        marks = "[;|]" if re.search("[;|]", text) else ","
        names = (
            _ONTOLOGY.sub("", _within(_QUOTES, name)).strip()
            for name in re.split(marks, _within(_BRACKETS, text))
        )
        return [name for name in names if name]

    def names_label(self, name: str) -> bool:
        """Return whether a name is a label, a label id or a known location name.

        Parameters
        ----------
        name : str

        Returns
        -------
        bool
        """
        if name.isascii() and name.isdigit():
            return int(name) < len(self.vocabulary)
        return _plain(name) in self._labels


def label_ids(text: str) -> str | None:
    """Read label ids in any of the common notations.

    Parameters
    ----------
    text : str
        Ids separated by whitespace, commas, semicolons or ``|``, with or without brackets and
        quotes; ``1.0`` and ``01`` are 1.

    Returns
    -------
    str or None
        Ids separated by single spaces; None if the text contains anything else.

    Examples
    --------
    >>> [label_ids(text) for text in ("16 0", "16|0", "[16, 0]", "1.0", "['3']", "05", "", "1.5")]
    ['16 0', '16 0', '16 0', '1', '3', '5', '', None]
    """
    words = re.split(r"[\s,;|]+", _within(_BRACKETS, text).strip())
    words = [_within(_QUOTES, word) for word in words if word]
    matches = [_ID.fullmatch(word) for word in words]
    if not all(matches):
        return None
    return " ".join(match[1].lstrip("0") or "0" for match in matches if match)


def numbered_label(column: str) -> int | None:
    """Return the label id in the name of a column.

    Parameters
    ----------
    column : str

    Returns
    -------
    int or None

    Examples
    --------
    >>> [numbered_label(name) for name in ("3", "label_3", "Class 03", "Nucleoli", "well_3")]
    [3, 3, 3, None, None]
    """
    match = _NUMBERED.fullmatch(column.strip())
    return int(match[1]) if match else None


def _within(marks: re.Pattern[str], text: str) -> str:
    """Return the text enclosed by marks, or the whole text without them."""
    match = marks.fullmatch(text)
    return match[2] if match else text


def read_locations(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read a table of additional location names.

    Parameters
    ----------
    path : path-like
        CSV with the columns ``name`` and ``label`` (in any case); a label is
        its name or its id, and is empty if the location has no label.

    Returns
    -------
    dict of str to str
        For `Locations`.

    Raises
    ------
    InputError
        If a column is missing, or a name is empty or duplicate.
    OSError
        If the file cannot be read.
    """
    table = read_text_table(path)
    names, labels = (table[named_column(table, (column,), path)] for column in ("name", "label"))
    more: dict[str, str] = {}
    seen: set[str] = set()
    for name, label in zip(names, labels):
        if not name.strip() or _plain(name) in seen:
            raise InputError(
                f"{path}: " + (f"duplicate name {name!r}" if name.strip() else "a row has no name")
            )
        seen.add(_plain(name))
        more[name] = label
    return more


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("&", " and ").split())
