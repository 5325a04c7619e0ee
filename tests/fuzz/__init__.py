"""Random and mutated user-data, far more of it than a test run has time for: python -m tests.fuzz."""
