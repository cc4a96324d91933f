"""Each number in the README, with the command that prints it: `python -m benchmarks`."""
