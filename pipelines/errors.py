"""UserError: an error that a user can act on, in one line."""


class UserError(Exception):
    """Bad input: what is wrong, where, the value, and the way out, in one line.

    The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
