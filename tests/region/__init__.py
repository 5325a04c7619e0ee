"""A local EC2 region: network namespaces around real HTCondor daemons.

``python -m tests.region`` (as root, from the top of the checkout) makes one to look around in; tests and
benchmarks use ``Region`` from ``tests.region.region``.  Nothing in it can reach the outside.
"""
