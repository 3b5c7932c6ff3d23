"""What libraries raise for values that no check has foreseen; apart from the errors, for it imports one of them."""

from shapely.errors import ShapelyError

UNFORESEEN = (ArithmeticError, AttributeError, LookupError, RuntimeError, ShapelyError, TypeError, ValueError)
"""What a library raises for a value that no check has foreseen: an error of the one feature, item or product."""
