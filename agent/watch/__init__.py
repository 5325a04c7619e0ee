"""The watch: a small process that sees the end of this machine coming, and brings it about in time.

It listens to the metadata service, looks at the machine, decides (``decision``, which only computes), and acts.
"""
