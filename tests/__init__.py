"""The tests, importable so that `python -m tests.region` works from the top of the checkout."""
