"""Exceptions of libraries for unexpected values; apart from `errors`, because it imports one of these libraries."""

from shapely.errors import ShapelyError

UNEXPECTED_ERRORS = (ArithmeticError, AttributeError, LookupError, RuntimeError, ShapelyError, TypeError, ValueError)
"""What a library raises for a value that no check covers: an error of the one feature, item or product."""
