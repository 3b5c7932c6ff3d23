"""Input: AOI files, catalogues, products and pixels."""
