"""Looks to alerts: residuals, steps, objects, outlines, dates, probability. Pure."""
