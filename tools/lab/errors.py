"""The lab's one error."""


class LabError(RuntimeError):
    """A lab cannot be built, reached or ended; the message names the lab or node, what failed, and where its log is."""
