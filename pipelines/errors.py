"""Errors that a user can act on, each in one line."""


class UserError(Exception):
    """Bad input: what is wrong, where, the value, and the way out, in one line.

    The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InUseError(UserError):
    """Another live process writes to the run."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says, or its kind where it says nothing."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
