"""Which cluster, as whom: of a kubeconfig, as kubectl finds it."""

from __future__ import annotations

from xvirt.cli.words import WrongWords
from xvirt.operator.runtime.access import Access, AccessFailed, find_access


def find(kubeconfig: str, context: str) -> Access:
    """Raises WrongWords where there is no usable way to a cluster."""
    try:
        return find_access(kubeconfig, context)
    except AccessFailed as error:
        raise WrongWords(f"--cluster: {error}") from error
