"""What virDomainInterfaceAddresses answers, as `InterfaceAddress`es."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nodeplugin.hypervisor.port import InterfaceAddress

_NO_MAC = frozenset({"", "00:00:00:00:00:00"})


def read_addresses(answer: Mapping[str, Any], source: str) -> list[InterfaceAddress]:
    """Addresses of all cards that have a MAC address; a guest's loopback has none."""
    found = []
    for device in answer.values():
        mac = (device.get("hwaddr") or "").lower()
        if mac not in _NO_MAC:
            found += [
                InterfaceAddress(mac=mac, address=item["addr"], prefix=item["prefix"], source=source)
                for item in device.get("addrs") or ()
            ]
    return found
