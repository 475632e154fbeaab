"""Calibration: maps from logits to calibrated log-odds."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from hpastack.calibration.isotonic import Isotonic
from hpastack.calibration.sloped import MIN_POSITIVES, Beta, Platt
from hpastack.calibration.spline import Spline
from hpastack.errors import InputError


class Calibrator(Protocol):
    """The interface of a calibration method.

    To add a method, write a class and add a line to `CALIBRATORS`;
    ``tests/calibration/test_calibrators.py`` has the contract test.
    """

    @property
    def n_parameters(self) -> int | None:
        """Number of parameters of the map; None if that depends on the fit."""

    @staticmethod
    def fit(
        logits: np.ndarray,
        y: np.ndarray,
        clusters: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> tuple[float, ...] | None:
        """Return the parameters, or None if there is too little evidence (then Platt is used).

        `sample_weight` is above 0, and passed only if there are weights.
        """

    @staticmethod
    def apply(parameters: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Return calibrated log-odds, a non-decreasing function of the logits."""

    @staticmethod
    def check(parameters: np.ndarray) -> None:
        """Raise `InputError` unless finite, untrusted parameters make a non-decreasing map."""


class Identity:
    """The identity: logits are returned unchanged."""

    n_parameters = 0

    @staticmethod
    def fit(
        logits: np.ndarray,
        y: np.ndarray,
        clusters: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> tuple[float, ...]:
        """Return no parameters."""
        return ()

    @staticmethod
    def apply(parameters: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Return a copy of the logits."""
        return logits.copy()

    @staticmethod
    def check(parameters: np.ndarray) -> None:
        """Accept the parameters: there are none."""


#: The calibration methods, by name.
CALIBRATORS: dict[str, Calibrator] = {
    "none": Identity,
    "platt": Platt,
    "beta": Beta,
    "isotonic": Isotonic,
    "spline": Spline,
}


@dataclass(frozen=True)
class Calibration:
    """A non-decreasing map from one label's logits to calibrated log-odds.

    Made by `fit_calibration`; call it with logits.

    Parameters
    ----------
    method : str
        A key of `CALIBRATORS`.
    parameters : tuple of float
        none: empty. platt: slope and offset. beta: a, b and c. isotonic: the
        logits of the m knots, ascending, then the m log-odds there.
        spline: the offset, the slopes of the m + 1 segments, and the m knots.

    Raises
    ------
    InputError
        If the method is unknown, or the parameters are wrong in number, not
        finite, or would make the map decrease.

    Notes
    -----
    Platt is ``slope * logit + offset``. Beta is ``a * log(p) - b * log(1 - p)
    + c``, where p is the sigmoid of the logit. Isotonic is linear between its
    knots and constant outside them, so only fields beyond the first and last
    knot can tie.

    Examples
    --------
    >>> Calibration("platt", (0.5, -1.0))([2.0, 4.0])
    array([0., 1.])
    >>> Calibration("isotonic", (-1.0, 3.0, 0.0, 2.0))([-5.0, 0.0, 1.0, 5.0])
    array([0. , 0.5, 1. , 2. ])
    """

    method: str
    parameters: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        calibrator = _calibrator(self.method)
        numbers, n_expected = np.array(self.parameters, dtype=float), calibrator.n_parameters
        if n_expected is not None and len(numbers) != n_expected:
            raise InputError(
                f"calibration {self.method} takes {n_expected} parameters, got {len(numbers)}"
            )
        if not np.isfinite(numbers).all():
            raise InputError("the parameters of a calibration must be finite numbers")
        calibrator.check(numbers)

    def __call__(self, logits: ArrayLike) -> np.ndarray:
        """Return calibrated log-odds.

        Parameters
        ----------
        logits : array-like of float, any shape

        Returns
        -------
        ndarray of float, same shape
            Calibrated log-odds.
        """
        logits = np.asarray(logits, dtype=float)
        return _calibrator(self.method).apply(np.array(self.parameters, dtype=float), logits)

    def record(self) -> dict[str, Any]:
        """Return the calibration as a JSON-serialisable dict.

        Returns
        -------
        dict
            ``method`` and ``parameters``, a list.
        """
        return {"method": self.method, "parameters": list(self.parameters)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Calibration:
        """Return a calibration from its record, which is untrusted input.

        Parameters
        ----------
        record : dict
            As `record` returns it.

        Returns
        -------
        Calibration

        Raises
        ------
        InputError
            If the record is invalid.
        """
        if not isinstance(record, dict) or set(record) != {"method", "parameters"}:
            raise InputError("the record of a calibration must have the keys method and parameters")
        method, numbers = record["method"], record["parameters"]
        if not isinstance(method, str):
            raise InputError("the method of a calibration must be a string")
        if not isinstance(numbers, list | tuple) or not all(map(_is_number, numbers)):
            raise InputError("the parameters of a calibration must be finite numbers")
        return cls(method, tuple(float(number) for number in numbers))


def fit_calibration(
    logits: ArrayLike,
    y: ArrayLike,
    clusters: ArrayLike,
    *,
    method: str = "platt",
    sample_weight: ArrayLike | None = None,
) -> Calibration:
    """Fit the map from one label's logits to calibrated log-odds.

    Platt, beta and spline are logistic regressions that are shrunk towards the
    identity, more strongly the more near-duplicates the positive fields have.
    Isotonic pools adjacent fields until the frequency increases with the logit,
    and places each pool at its mean logit (centred isotonic regression), so that
    fields within a pool keep their order.

    Parameters
    ----------
    logits : array-like of float, shape (n,)
    y : array-like of {0, 1}, shape (n,)
    clusters : array-like, shape (n,)
        Cluster of each field. Fields of a cluster are near-duplicates: each
        cluster with the label counts as the evidence of one field.
    method : str, default="platt"
        A key of `CALIBRATORS`: platt, beta, isotonic, spline or none.
    sample_weight : array-like of float, shape (n,), optional
        Number of fields that each counts for, at least 0. The limits below
        count fields of positive weight.

    Returns
    -------
    Calibration
        With fewer than 20 positives or negatives the method is none, the
        identity. For isotonic it is platt with fewer than 1,000 fields, 100
        clusters that contain a positive field or 100 that contain a negative
        one.

    Raises
    ------
    InputError
        If the method is unknown, the three arrays differ in length, a logit is
        not finite, or a value of `y` is neither 0 nor 1.

    Notes
    -----
    Beta with a = b is Platt; otherwise the map is non-linear. If a or b is
    negative, it is set to 0 and the other parameters are refitted, as in [2]_. A
    spline is Platt with a slope that may change at up to five logits: the 10, 30,
    50, 70 and 90 % quantiles, with positives and negatives weighted equally. If
    the label becomes rarer with increasing logits, all three remain the identity.

    In isotonic regression half a positive field is added at the lowest logit
    and half a negative one at the highest, so that no probability is 0 or 1.

    References
    ----------
    .. [1] J. Platt, "Probabilistic outputs for support vector machines and
       comparisons to regularized likelihood methods", 1999.
    .. [2] M. Kull, T. Silva Filho and P. Flach, "Beyond sigmoids: how to
       obtain well-calibrated probabilities from binary classifiers with beta
       calibration", Electron. J. Stat. 11(2), 5052-5080, 2017.
       :doi:`10.1214/17-EJS1338SI`
    .. [3] A. P. Oron and N. Flournoy, "Centered isotonic regression: point
       and interval estimation for dose-response studies", Stat. Biopharm.
       Res. 9(3), 258-267, 2017. :doi:`10.1080/19466315.2017.1286256`

    Examples
    --------
    An overconfident network: its logits are -4 and 4, but a quarter of the
    predictions on either side is wrong.

    >>> logits = np.repeat([-4.0, 4.0], 4000)
    >>> y = np.repeat([0, 1, 0, 1], [3000, 1000, 1000, 3000])
    >>> calibration = fit_calibration(logits, y, np.arange(8000))
    >>> probabilities = 1 / (1 + np.exp(-calibration([-4.0, 4.0])))
    >>> probabilities.round(2)
    array([0.25, 0.75])
    """
    logits, y, clusters = np.asarray(logits, dtype=float), np.asarray(y), np.asarray(clusters)
    calibrator = _calibrator(method)
    if logits.ndim != 1 or not logits.shape == y.shape == clusters.shape:
        raise InputError(
            f"logits {logits.shape}, y {y.shape} and clusters {clusters.shape} must be "
            "one-dimensional and of the same length"
        )
    if not np.isfinite(logits).all():
        raise InputError("logits must be finite")
    if not np.isin(y, (0, 1)).all():
        raise InputError("y must contain only 0 and 1")
    y, weighted = y.astype(float), {}
    if sample_weight is not None:
        sample_weight = np.asarray(sample_weight, dtype=float)
        if sample_weight.shape != y.shape or not np.isfinite(sample_weight).all():
            raise InputError("sample_weight must be finite, one per field")
        if (sample_weight < 0).any():
            raise InputError("sample_weight must be at least 0")
        kept = sample_weight > 0
        logits, y, clusters = logits[kept], y[kept], clusters[kept]
        weighted = {"sample_weight": sample_weight[kept]}
    if min(y.sum(), len(y) - y.sum()) < MIN_POSITIVES:
        return Calibration("none")
    parameters = calibrator.fit(logits, y, clusters, **weighted)
    if parameters is None:
        return Calibration("platt", Platt.fit(logits, y, clusters, **weighted))
    return Calibration(method, parameters)


def _calibrator(method: str) -> Calibrator:
    if method not in CALIBRATORS:
        known = ", ".join(CALIBRATORS)
        raise InputError(f"unknown calibration {method!r}; choose from {known}")
    return CALIBRATORS[method]


def _is_number(value: object) -> bool:
    # JSON may also contain true, NaN, Infinity, and integers beyond the range of floats.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max
