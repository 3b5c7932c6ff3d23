"""Frozen values that every layer uses, and the settings. No side effects."""
