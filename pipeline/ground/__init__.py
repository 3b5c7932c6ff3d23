"""What the ground is: classes of spectra, phases of a series, and the type of a change. Pure."""
