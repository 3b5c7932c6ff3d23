"""The type of a change: what the ground was before it, and what it is now."""

from pipeline.model.alert import Kind, State

CLEAR_EDGE = 1.35
"""Contrast of the old ground across an outline, as a multiple of that around it: a structure stood on that plot."""


def change_type(past: State, now: State, old_edges: float) -> Kind:
    """past, now: state of the ground before the change and at its end. old_edges: see CLEAR_EDGE."""
    replaced = past is State.BUILT and old_edges > CLEAR_EDGE
    if now is State.BUILT:
        return Kind.RESURFACED if replaced else Kind.NEW_STRUCTURE
    return Kind.DEMOLISHED if replaced else Kind.CLEARED_GROUND
