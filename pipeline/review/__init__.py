"""Output: review files, pictures, reports and exports."""
