"""One script a table; `make bench` runs them all and writes RESULTS.md."""
