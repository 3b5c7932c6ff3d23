"""Arguments to values to one call; errors as one line; exit codes. One command a file."""
