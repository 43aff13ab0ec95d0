"""Marks for defects of the product that are known and not mended yet."""
import pytest


def finding(number, **options):
    """Strict: the mark must go when the defect does."""
    return pytest.mark.xfail(strict=True, reason="finding %d" % number, **options)
