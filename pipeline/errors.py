"""Errors in what the user gave."""


class InputError(ValueError):
    """A fault in the input: one sentence with the file, the finding and the remedy."""
