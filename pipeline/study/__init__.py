"""Simulation, sensitivity and evaluation."""
