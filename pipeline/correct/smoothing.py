"""Names of `pipeline.numerics.smoothing` under their former path."""

from pipeline.numerics.smoothing import gaussian

__all__ = ["gaussian"]
