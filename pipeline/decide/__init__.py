"""Looks to alerts: history, score, evidence, outline, kind, calibration. Pure."""
