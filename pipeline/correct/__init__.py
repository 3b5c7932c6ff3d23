"""Chip to look: offset, reflectance, masks, registration, normalisation. Pure."""
