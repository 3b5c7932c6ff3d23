"""Numerical routines on arrays that several packages use: robust statistics, filters, resampling. Pure."""
