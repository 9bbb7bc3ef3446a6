"""What a user can get wrong."""


class InputError(ValueError):
    """A fault in what the user gave: one sentence with the file, what was found and what to do."""
