"""A test that must fail: the Makefile runs it to see that the runner notices (beh:L10)."""


def test_failing__always__fails():
    assert 1 == 2
