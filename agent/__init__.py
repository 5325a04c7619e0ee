"""annex-agent turns an Amazon EC2 instance into an HTCondor execute node.

It reads the world once (EC2's metadata service, user-data, the machine), decides every step as
plain data, and only then carries the steps out: gather -> plan -> apply.  A dry run is the same
plan, previewed instead of applied.
"""

__version__ = "0.1.0"
