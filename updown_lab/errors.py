"""The errors a reader of this library may meet, each written to be acted upon."""


class UpdownError(Exception):
    """Base of all errors that are about the reader's input, not about our code.

    The command line prints the message alone, without a stack trace.

    >>> issubclass(DataMissing, UpdownError)
    True
    """


class DataMissing(UpdownError, FileNotFoundError):
    """A file or folder that should be there is not. The message names it and the command that makes it."""


class DataInvalid(UpdownError, ValueError):
    """A file is there, but an entry in it is wrong. The message names file and entry."""


class ConfigError(UpdownError, ValueError):
    """A setting has an unknown name or an impossible value. The message names the valid ones."""
