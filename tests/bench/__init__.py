"""The benchmark: every number that the project promises, measured, beside its goal. `make bench` runs it."""
