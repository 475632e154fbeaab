"""Names of places as the Human Protein Atlas writes them, and the labels they stand for.

HPA has renamed places over the years, and knows more of them than a vocabulary
has labels. A name that is a label under another spelling is mapped; one that is
wider, narrower or newer than any label is not, because which label it would have
got is a guess. A name that HPA does not have is refused: it is misspelt, or somebody
else's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from hpastack.errors import InputError
from hpastack.files import named_column, read_text_table
from hpastack.labels.vocabulary import HPA_2018, Vocabulary

#: Other names that HPA has used for a place, and the name the place has in HPA 2018.
#: Case, blanks and "and" for "&" need no line of their own.
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

#: Places that HPA names and HPA 2018 has no label for.
OTHER_PLACES = (
    "Acrosome", "Annulus", "Basal body", "Calyx", "Centriolar satellite", "Cleavage furrow",
    "Connecting piece", "Cytoplasm", "Cytoskeleton", "End piece", "Equatorial segment",
    "Flagellar centriole", "Kinetochore", "Mid piece", "Midbody", "Midbody ring",
    "Mitotic chromosome", "Negative", "Nucleoli rim", "Nucleus", "Perinuclear theca",
    "Primary cilium", "Primary cilium tip", "Primary cilium transition zone", "Principal piece",
    "Vesicles", "Vesicles and punctate cytosolic patterns",
)  # fmt: skip

# As in HPA's column of gene ontology: "Cytosol (GO:0005829)", "Rods & Rings ()".
_ONTOLOGY = re.compile(r"\s*\((GO:[0-9]+)?\)\s*$", re.IGNORECASE)
# As lists of Python, R and Julia are written: [16, 0], {16, 0}; and of names: ['Nucleoli'].
_BRACKETS = re.compile(r"\s*([\[({])(.*)[\])}]\s*")
_QUOTES = re.compile(r"""\s*(["'])(.*)\1\s*""")
_NUMBERED = re.compile(r"(?:labels?|class|target|prob|proba|y)?[\s_-]*([0-9]+)", re.IGNORECASE)
_ID = re.compile(r"([0-9]+)(?:\.0*)?")


class UnknownName(InputError):
    """Say that a name is neither a label nor one that HPA has for a place."""

    def __init__(self, name: str, labels: Iterable[str], where: str) -> None:
        self.name = name
        known = {_plain(label): label for label in labels}
        near = get_close_matches(_plain(name), known, n=1)
        like = f" (is it {known[near[0]]!r}?)" if near else ""
        super().__init__(
            f"{where}: {name!r} is no label, and no place that HPA names{like}; mend it, or "
            "say with --locations what it stands for (an empty label: for none)"
        )


class Locations:
    """Translate names of places into the labels of a vocabulary.

    Parameters
    ----------
    vocabulary : Vocabulary
        Its own names are known, and those of `SYNONYMS` whose label it has.
    more : mapping of str to str, optional
        Further names, and the name or the id of the label each stands for,
        or "" for none; they go before all others.

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
        # A vocabulary's own name for a place goes before what HPA once called so.
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
            raise InputError(f"location {name!r}: stands for {label!r}; it is one label")
        return ids[0]

    def read_target(self, text: str, where: str = "target") -> tuple[str, list[str]]:
        """Read labels that are given as ids or as names of places.

        Parameters
        ----------
        text : str
            Ids, as `label_ids` reads them, or names separated by semicolons or ``|``,
            or by commas where there is none of these. Case, repeated blanks, brackets around all,
            quotes around a name and a ``(GO:...)`` behind it do not matter.
        where : str, default="target"
            What to call the target in an error.

        Returns
        -------
        target : str
            Label ids separated by single blanks, each once, in the order
            written; "" where no name is a label.
        unmapped : list of str
            The names that are known and no label, as written.

        Raises
        ------
        UnknownName
            If a name is not known.
        InputError
            If an id is unknown or doubled, or a name that is no label holds a
            digit (HPA's have none, so it is an id gone wrong).
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
                    f"{len(self.vocabulary) - 1} separated by blanks, or names separated by ;"
                )
            else:
                raise UnknownName(" ".join(name.split()), self.vocabulary, where)
        return " ".join(map(str, labels)), list(unmapped)

    def _names(self, text: str) -> list[str]:
        if _plain(text) in self._labels:  # a name of a vocabulary may hold a comma
            return [text]
        marks = "[;|]" if re.search("[;|]", text) else ","
        names = (
            _ONTOLOGY.sub("", _within(_QUOTES, name)).strip()
            for name in re.split(marks, _within(_BRACKETS, text))
        )
        return [name for name in names if name]

    def names_label(self, name: str) -> bool:
        """Return whether a name is a label, its id, or another name of a place.

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
    """Read the ids of labels in any of the ways in which they are written.

    Parameters
    ----------
    text : str
        Ids separated by blanks, commas, semicolons or ``|``, within brackets or not, in quotes or
        not; ``1.0`` and ``01`` are 1.

    Returns
    -------
    str or None
        Ids separated by single blanks; None if something else stands there.

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
    """Return the id of a label after which a column is called.

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
    """Return what marks enclose, or the text where they do not."""
    match = marks.fullmatch(text)
    return match[2] if match else text


def read_locations(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read a table of further names of places.

    Parameters
    ----------
    path : path-like
        CSV with the columns ``name`` and ``label`` (in any case); a label is
        written as its name or its id, and is empty where the name stands for none.

    Returns
    -------
    dict of str to str
        For `Locations`.

    Raises
    ------
    InputError
        If a column is missing, or a name is empty or doubled.
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
                f"{path}: "
                + (f"name {name!r} stands twice" if name.strip() else "a row has no name")
            )
        seen.add(_plain(name))
        more[name] = label
    return more


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("&", " and ").split())
