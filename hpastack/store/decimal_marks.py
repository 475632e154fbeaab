"""Numbers with decimal commas or thousands separators, as spreadsheet programs write them."""

from __future__ import annotations

import re

import pandas as pd

_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?")
# Ambiguous: 1,234 may have a decimal comma or a thousands separator.
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
_NUMBER = re.compile(r"[+-]?[0-9.,]*[0-9][0-9.,]*([eE][+-]?[0-9]+)?")
# Decimal mark, thousands separator, and numbers with the latter and without it.
_GROUPED = tuple(
    (
        decimal,
        mark,
        re.compile(rf"[+-]?[1-9][0-9]{{0,2}}(\{mark}[0-9]{{3}})+(\{decimal}[0-9]+)?"),
        re.compile(rf"[+-]?[0-9]*(\{decimal}[0-9]+)?([eE][+-]?[0-9]+)?"),
    )
    for decimal, mark in ((",", "."), (".", ","))
)


def is_marked_number(text: object) -> bool:
    """Return whether a cell is a number with a comma or several marks.

    Parameters
    ----------
    text : object

    Returns
    -------
    bool

    Examples
    --------
    >>> [is_marked_number(cell) for cell in ("0,5", "1.000,5", "0.5", "a,5", 0.5)]
    [True, True, False, False, False]
    """
    if not isinstance(text, str) or not _NUMBER.fullmatch(text.strip()):
        return False
    return "," in text or text.count(".") > 1


def with_decimal_points(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose unambiguous decimal commas and thousands separators are rewritten.

    Parameters
    ----------
    table : DataFrame
        Cells may be text.

    Returns
    -------
    DataFrame
        Decimal commas become points if at least one number of the table can only have a decimal
        comma, and none can only have a decimal point. Thousands separators are removed from
        columns in which a number has both marks or several separators (``1.000,5``,
        ``1,000,000``), if all numbers of the column agree. Otherwise the table itself.

    Examples
    --------
    >>> with_decimal_points(pd.DataFrame({"a": ["1.000,5", "2"], "b": ["0,5", "1.5"]})).iloc[0, 0]
    '1.000,5'
    >>> with_decimal_points(pd.DataFrame({"a": ["1.000,5", "2"], "b": ["0,5", "1"]})).iloc[0, 0]
    '1000.5'
    """
    texts = {}
    is_plain = True
    for position, dtype in enumerate(table.dtypes):
        if pd.api.types.is_numeric_dtype(dtype):
            continue
        cells = table.iloc[:, position].dropna().astype(str).str.strip()
        texts[position] = cells
        odd = cells[pd.to_numeric(cells, errors="coerce").isna()]
        is_plain &= not odd.map(is_marked_number).any()
    if is_plain:
        return table
    styles = {position: _style(cells) for position, cells in texts.items()}
    decimals = {decimal for decimal, _ in styles.values()}
    if "?" in decimals or {",", "."} <= decimals:
        return table
    table = table.copy()
    for position, (decimal, mark) in styles.items():
        cells = texts[position]
        if mark:
            cells = cells.str.replace(mark, "", regex=False)
        if "," in decimals and decimal in (",", "either"):
            cells = cells.str.replace(",", ".", regex=False)
        if cells is not texts[position]:
            column = table.iloc[:, position].to_numpy(dtype=object, copy=True)
            column[table.iloc[:, position].notna()] = cells
            table.isetitem(position, column)
    return table


def _style(cells: pd.Series) -> tuple[str, str]:
    """Return the decimal mark of a column and the thousands separator, if it has one.

    The decimal mark is "" without any, "either" if commas may be both, and "?" if the numbers
    disagree.
    """
    cells = cells[~cells.str.lower().isin(("", "nan"))]
    if not cells.map(lambda cell: _NUMBER.fullmatch(cell) is not None).all():
        return "", ""  # not numbers
    has_comma, has_point = (cells.str.contains(mark, regex=False) for mark in ",.")
    if cells.str.contains(r"[.,].*[.,]").any():
        for decimal, mark, grouped, plain in _GROUPED:
            has_mark = cells.str.contains(mark, regex=False)
            if (
                cells[has_mark].str.fullmatch(grouped).all()
                and cells[~has_mark].str.fullmatch(plain).all()
            ):
                return decimal, mark
        return "?", ""
    if has_comma.any() and has_point.any():
        return "?", ""
    if not has_comma.any():
        return ("." if has_point.any() else ""), ""
    if not cells[has_comma].str.fullmatch(_DECIMAL_COMMA).all():
        return "?", ""
    return ("either" if cells[has_comma].str.fullmatch(_THOUSANDS).all() else ","), ""
