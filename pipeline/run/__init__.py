"""Orchestration and state: what is done, in which order, and what is remembered."""
