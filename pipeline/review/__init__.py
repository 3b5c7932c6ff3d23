"""The world out: review files, pictures, reports, exports."""
