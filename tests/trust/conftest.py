"""Asserts of the helper that runs the cases say what they compared."""

import pytest

pytest.register_assert_rewrite("hostile")
