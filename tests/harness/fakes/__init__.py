"""Drivers that lie, each in one way, and the small honest one they are made from."""
