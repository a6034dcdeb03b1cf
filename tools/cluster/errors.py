"""The dev cluster's one error."""


class ClusterError(RuntimeError):
    """A cluster cannot be built, reached or ended; the message names the part, what failed, and where its log is."""
