"""groundbreak: new construction on public Sentinel-2 imagery, with its dates, size and certainty."""
