"""Both servers from their wheels, in one directory: for development, tests and small runs."""
