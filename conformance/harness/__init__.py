"""The conformance harness: it runs cases against drivers and says what each port does."""
