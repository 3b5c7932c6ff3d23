"""Orchestration and state: order of the stages, caches and the ledger."""
