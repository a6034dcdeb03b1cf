"""/metrics: the registry as text."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from nodeplugin.monitor import Answer, Page


def metrics_page(registry: CollectorRegistry) -> Page:
    """The page; the format is the one that the request's Accept header asks for."""

    def page(headers: Mapping[str, str]) -> Answer:
        encode, content_type = choose_encoder(headers.get("accept", ""))
        return Answer(200, content_type, encode(registry))

    return page
