"""Bottom-up and top-down attention: a small library to learn, run and take apart the paper of 2018."""

__version__ = "0.1.0"
