"""File formats that both sides of the pipeline share, read without trusting who wrote them."""
