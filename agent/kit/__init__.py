"""What the pool's own site needs for these workers, made from the very settings that the workers read.

Nothing here asks anything of the machine: a part is a function of the settings and of what the command line says.
"""
