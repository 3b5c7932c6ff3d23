"""The world in: AOI files, catalogues, products, pixels."""
