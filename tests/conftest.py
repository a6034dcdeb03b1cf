"""What holds for all tests."""

import signal


def pytest_configure() -> None:
    """A shell starts what it runs in the background with Ctrl-C ignored, and so does nohup. Tests send it to programs they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
