"""Calibration: from logits to log-odds that can be believed."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from scipy.special import logit
from sklearn.isotonic import isotonic_regression

from hpastack.calibration.logistic import STRENGTH, fields_per_cluster, fit_logistic
from hpastack.errors import InputError

METHODS = ("none", "platt", "beta", "isotonic")

#: Below this many positives a label keeps the logits it has.
MIN_POSITIVES = 20

#: A curve of free shape needs this many fields, and this many positives and negatives.
MIN_ISOTONIC_FIELDS = 1000
MIN_ISOTONIC_POSITIVES = 100

_N_PARAMETERS = {"none": 0, "platt": 2, "beta": 3}


@dataclass(frozen=True)
class Calibration:
    """Turn one label's logits into log-odds, never putting two fields in the other order.

    Made by `fit_calibration`; call it with logits.

    Parameters
    ----------
    method : {"none", "platt", "beta", "isotonic"}
    parameters : tuple of float
        none: empty. platt: slope and offset. beta: a, b and c. isotonic: the
        logits of the m knots, ascending, then the m log-odds there.

    Raises
    ------
    InputError
        If the method is unknown, or the parameters are not as many as it has,
        are not finite, or would make the map fall.

    Notes
    -----
    Platt is ``slope * logit + offset``. Beta is ``a * log(p) - b * log(1 - p)
    + c`` with p the probability of the logit. Isotonic is straight between
    its knots and level outside them, so only fields beyond the first and last
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

    def __post_init__(self):
        if self.method not in METHODS:
            raise InputError(
                f"unknown calibration {self.method!r}; it is one of {', '.join(METHODS)}"
            )
        numbers = np.array(self.parameters, dtype=float)
        wanted = _N_PARAMETERS.get(self.method)
        if wanted is not None and len(numbers) != wanted:
            raise InputError(
                f"a calibration of method {self.method} has {wanted} parameters, not {len(numbers)}"
            )
        if not np.isfinite(numbers).all():
            raise InputError("the parameters of a calibration are finite numbers")
        if self.method == "isotonic":
            if len(numbers) < 2 or len(numbers) % 2:
                raise InputError(
                    "an isotonic calibration has as many logits as log-odds, at least one of each"
                )
            at, log_odds = np.split(numbers, 2)
            if (np.diff(at) <= 0).any() or (np.diff(log_odds) < 0).any():
                raise InputError("the knots of an isotonic calibration must rise")
        # The last parameter of Platt and beta is the offset.
        elif (numbers[:-1] < 0).any():
            raise InputError(f"the slopes of a calibration of method {self.method} are at least 0")

    def __call__(self, logits) -> np.ndarray:
        """Calibrate logits.

        Parameters
        ----------
        logits : array-like of float, any shape

        Returns
        -------
        ndarray of float, same shape
            Calibrated log-odds.
        """
        logits = np.asarray(logits, dtype=float)
        if self.method == "none":
            return logits.copy()
        if self.method == "isotonic":
            at, log_odds = np.split(np.array(self.parameters), 2)
            return np.interp(logits, at, log_odds)
        if self.method == "platt":
            slope, offset = self.parameters
            return slope * logits + offset
        a, b, c = self.parameters
        log_p, minus_log_rest = _beta_terms(logits)
        return a * log_p + b * minus_log_rest + c

    def record(self) -> dict:
        """Return the calibration as what JSON can hold.

        Returns
        -------
        dict
            ``method`` and ``parameters``, a list.
        """
        return {"method": self.method, "parameters": list(self.parameters)}

    @classmethod
    def from_record(cls, record) -> Calibration:
        """Make a calibration from its record, which may come from anyone's file.

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
            If it is no such record.
        """
        if not isinstance(record, dict) or set(record) != {"method", "parameters"}:
            raise InputError("the record of a calibration has the keys method and parameters")
        method, numbers = record["method"], record["parameters"]
        if not isinstance(method, str):
            raise InputError("the method of a calibration is a name")
        if not isinstance(numbers, list | tuple) or not all(map(_is_number, numbers)):
            raise InputError("the parameters of a calibration are finite numbers")
        return cls(method, tuple(float(number) for number in numbers))


def fit_calibration(logits, y, clusters, *, method="platt") -> Calibration:
    """Fit the map from one label's logits to log-odds that match its frequency.

    Platt and beta are logistic regressions that are drawn to the identity,
    the more so the more copies of a field there are. Isotonic pools fields
    until the frequency rises with the logit, and puts each pool at its mean
    logit (centred isotonic regression), so that fields within a pool keep
    their order.

    Parameters
    ----------
    logits : array-like of float, shape (n,)
    y : array-like of {0, 1}, shape (n,)
    clusters : array-like, shape (n,)
        Fields of one cluster are near-copies: the evidence counts as if each
        cluster that holds the label were one field.
    method : {"platt", "beta", "isotonic", "none"}, default="platt"

    Returns
    -------
    Calibration
        Its method is none, the identity, with fewer than 20 positives or
        negatives; and platt where isotonic was asked for with fewer than
        1,000 fields, 100 negatives or 100 clusters that hold the label.

    Raises
    ------
    InputError
        If the method is unknown, the three are not of one length, a logit is
        not finite, or a value of `y` is neither 0 nor 1.

    Notes
    -----
    Beta with a = b is Platt. It can also bend: where a or b comes out
    negative it is set to 0 and the rest fitted again, as in [2]_. Where the
    label gets rarer as the logits grow, Platt and beta stay the identity.

    In the isotonic regression half a positive field is added at the lowest
    logit and half a negative one at the highest, so that no probability is 0
    or 1.

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
    A network that is too sure: its logits are -4 and 4, but on either side a
    quarter of the fields is otherwise.

    >>> logits = np.repeat([-4.0, 4.0], 4000)
    >>> y = np.repeat([0, 1, 0, 1], [3000, 1000, 1000, 3000])
    >>> calibration = fit_calibration(logits, y, np.arange(8000))
    >>> probabilities = 1 / (1 + np.exp(-calibration([-4.0, 4.0])))
    >>> probabilities.round(2)
    array([0.25, 0.75])
    """
    logits, y, clusters = np.asarray(logits, dtype=float), np.asarray(y), np.asarray(clusters)
    if method not in METHODS:
        raise InputError(f"unknown calibration {method!r}; it is one of {', '.join(METHODS)}")
    if logits.ndim != 1 or not logits.shape == y.shape == clusters.shape:
        raise InputError(
            f"logits {logits.shape}, labels {y.shape} and clusters {clusters.shape} of a "
            "calibration must be of one length"
        )
    if not np.isfinite(logits).all():
        raise InputError("logits of a calibration must be finite")
    if not np.isin(y, (0, 1)).all():
        raise InputError("labels of a calibration are 0 and 1")
    y = y.astype(float)
    positives, negatives = y.sum(), len(y) - y.sum()
    if method == "none" or min(positives, negatives) < MIN_POSITIVES:
        return Calibration("none")
    if method == "beta":
        return Calibration("beta", _fit_beta(logits, y, clusters))
    if (
        method == "isotonic"
        and len(y) >= MIN_ISOTONIC_FIELDS
        and min(positives / fields_per_cluster(y, clusters), negatives) >= MIN_ISOTONIC_POSITIVES
    ):
        return Calibration("isotonic", _fit_isotonic(logits, y, clusters))
    return Calibration("platt", tuple(fit_platt(logits, y, clusters).tolist()))


def fit_platt(logits, y, clusters, *, prior=(1.0, 0.0), min_positives=MIN_POSITIVES) -> np.ndarray:
    """Fit the slope and offset that turn one label's logits into log-odds.

    Parameters
    ----------
    logits : ndarray of float, shape (n,)
    y : ndarray of {0, 1}, shape (n,)
    clusters : ndarray of int, shape (n,)
        Fields of one cluster are near-copies: the fit is drawn to `prior` as
        if each cluster that holds the label were one field.
    prior : (float, float), default=(1, 0)
        Slope and offset without evidence.
    min_positives : int, default=20
        With fewer positives, or as few negatives, `prior` stands.

    Returns
    -------
    ndarray of float, shape (2,)
        Slope (never negative: the order of fields is kept) and offset.

    References
    ----------
    .. [1] J. Platt, "Probabilistic outputs for support vector machines and
       comparisons to regularized likelihood methods", 1999.
    """
    y = np.asarray(y, dtype=float)
    unchanged = np.array(prior, dtype=float)
    if min(y.sum(), len(y) - y.sum()) < min_positives:
        return unchanged
    design = np.column_stack([logits, np.ones(len(y))])
    pull = np.full(2, STRENGTH * fields_per_cluster(y, clusters))
    slope, offset = fit_logistic(design, y, prior=unchanged, strength=pull)
    if slope <= 0:
        return unchanged
    return np.array([slope, offset])


def _beta_terms(logits) -> tuple[np.ndarray, np.ndarray]:
    # log(p) and -log(1 - p); through p itself a logit of 40 would lose the second.
    return -np.logaddexp(0, -logits), np.logaddexp(0, logits)


def _fit_beta(logits, y, clusters) -> tuple[float, float, float]:
    design = np.column_stack([*_beta_terms(logits), np.ones(len(y))])
    identity = np.array([1.0, 1.0, 0.0])
    pull = STRENGTH * fields_per_cluster(y, clusters)
    fitted = fit_logistic(design, y, prior=identity, strength=np.full(3, pull))
    if (fitted[:2] < 0).any():
        # Both terms rise with the logit. If one is unwanted, the best map is without it.
        kept = [int(fitted[0] < fitted[1]), 2]
        again = fit_logistic(design[:, kept], y, prior=identity[kept], strength=np.full(2, pull))
        fitted = np.zeros(3)
        fitted[kept] = again
        if again[0] <= 0:
            fitted = identity
    a, b, c = fitted.tolist()
    return a, b, c


def _fit_isotonic(logits, y, clusters) -> tuple[float, ...]:
    values, place = np.unique(logits, return_inverse=True)
    n_fields = np.bincount(place).astype(float)
    positives, weight = np.bincount(place, y), n_fields.copy()
    half = 0.5 * fields_per_cluster(y, clusters)
    positives[0] += half
    weight[0] += half
    weight[-1] += half
    frequency = isotonic_regression(positives / weight, sample_weight=weight)
    first = np.flatnonzero(np.diff(frequency, prepend=-1.0) > 0)
    last = np.append(first[1:], len(values)) - 1
    mean = np.add.reduceat(values * n_fields, first) / np.add.reduceat(n_fields, first)
    # Rounding must not push a mean out of its pool: knots have to rise.
    mean = np.clip(mean, values[first], values[last])
    return tuple(np.r_[mean, logit(frequency[first])].tolist())


def _is_number(value) -> bool:
    # JSON also gives true, NaN, Infinity, and whole numbers that no float can hold.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max
