"""A component: web servers behind a load balancer, on a network of their own.

The servers' addresses are declared, not found out: each card has a MAC address made of its name, the network's DHCP gives it one address
for ever, and the network's DNS answers the name `backends` with all of them. So a server more or less changes the network while all
goes on, and the balancer not at all.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any

import pulumi

from xvirt_provider import Options, VirtualMachine, VirtualNetwork

PORT = 80
SERVE = """#!/bin/sh
mkdir -p /srv/www
hostname >/srv/www/index.html
busybox httpd -p {port} -h /srv/www
"""
BALANCE = r"""#!/bin/sh
cat >/run/balance <<'END'
#!/bin/sh
# One connection: to the backend whose turn it is, as DNS knows them now.
all=$(busybox nslookup backends | busybox awk '/^Name:/ {{ found = 1 }} found && /^Address/ {{ print $NF }}' | busybox sort)
count=$(echo "$all" | busybox wc -l)
turn=$(( ($(cat /run/turn 2>/dev/null || echo 0) + 1) % count ))
echo $turn >/run/turn
exec busybox nc "$(echo "$all" | busybox sed -n "$((turn + 1))p")" {port}
END
chmod +x /run/balance
busybox nc -ll -p {port} -e /run/balance &
"""


class WebTier(pulumi.ComponentResource):
    """`replicas` web servers from `image` (the name of a VirtualImage) on `subnet`, which must be free on the host."""

    url: pulumi.Output[str]
    """Where the load balancer answers."""

    def __init__(
        self,
        name: str,
        *,
        image: pulumi.Input[str],
        replicas: int = 2,
        subnet: str = "192.168.180.0/24",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("examples:xvirt:WebTier", name, None, opts)
        self._image = image
        self._hosts = list(ipaddress.ip_network(subnet).hosts())
        servers = [f"{name}-{number}" for number in range(1, replicas + 1)]
        balancer = f"{name}-balancer"
        places = {host: self._hosts[10 + place] for place, host in enumerate((balancer, *servers))}
        self.network = self._make_network(name, subnet, places, servers)
        self.servers = [self._make_machine(server, SERVE.format(port=PORT)) for server in servers]
        self.balancer = self._make_machine(balancer, BALANCE.format(port=PORT))
        self.url = pulumi.Output.concat("http://", self.balancer.address, "/")
        self.register_outputs({"url": self.url})

    def _make_network(self, name: str, subnet: str, places: dict[str, Any], servers: list[str]) -> VirtualNetwork:
        prefix = ipaddress.ip_network(subnet).prefixlen
        leases = [{"mac": mac_of(host), "ip": str(ip), "name": host} for host, ip in places.items()]
        dhcp: Any = {"ranges": [{"start": str(self._hosts[100]), "end": str(self._hosts[199])}], "hosts": leases}
        return VirtualNetwork(
            name,
            mode="Nat",
            subnets=[{"address": f"{self._hosts[0]}/{prefix}", "dhcp": dhcp}],
            dns={"hosts": [{"ip": str(places[server]), "hostnames": ["backends"]} for server in servers]},
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _make_machine(self, host: str, script: str) -> VirtualMachine:
        return VirtualMachine(
            host,
            memory={"size": "160Mi", "max": "512Mi"},
            cpu={"cores": 1, "max": 2},
            disks=[{"name": "root", "source": {"image": self._image, "size": "128Mi"}, "deletion_policy": "Delete"}],
            nics=[{"name": "lan", "network": self.network.object_name, "mac": mac_of(host)}],
            cloud_init={"hostname": host, "user_data": {"inline": script}},
            options=Options(wait_for="address"),
            opts=pulumi.ResourceOptions(parent=self),
        )


def mac_of(host: str) -> str:
    """A locally administered MAC address, always the same for a name."""
    digest = hashlib.sha256(host.encode()).hexdigest()
    return ":".join(["02", *(digest[place : place + 2] for place in range(0, 10, 2))])
