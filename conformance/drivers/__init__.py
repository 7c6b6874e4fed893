"""Drivers: what a port speaks to the conformance harness."""
