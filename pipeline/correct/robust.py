"""Names of `pipeline.numerics.robust` under their former path."""

from pipeline.numerics.robust import centre_spread, median, median_of, zeroed

__all__ = ["centre_spread", "median", "median_of", "zeroed"]
