"""The command line, one file a family; each adds its commands with ``add(commands)``."""
