"""Simulation: catalogues with known truth, and buildings drawn into the scenes of a site."""
