"""The conformance suite: cases, catalogue and fixtures as data; harness and drivers as code."""
