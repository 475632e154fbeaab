"""Suspected label errors: their ranking, and a page on which people review them."""

from hpastack.review.issues import ORDERS, Order, label_issues

__all__ = ["ORDERS", "Order", "label_issues"]
