"""groundbreak: construction in Sentinel-2 imagery. `python -m groundbreak` is the command."""
