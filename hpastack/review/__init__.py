"""Suspected label errors: their ranking, and a page to review them."""

from hpastack.review.gathering import review_fields
from hpastack.review.issues import ORDERS, Order, label_issues
from hpastack.review.page import write_review

__all__ = ["ORDERS", "Order", "label_issues", "review_fields", "write_review"]
