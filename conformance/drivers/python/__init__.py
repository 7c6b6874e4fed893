"""The driver of the Python port."""
