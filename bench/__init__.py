"""Measured ratios of both ports: converting, saving, importing."""
