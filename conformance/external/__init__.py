"""Material from outside the repository, run through the drivers: `nox -s external`."""
