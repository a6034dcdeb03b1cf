"""One host, by its own Unix socket: an image, a network, and as many machines as are asked for."""

import pulumi

from xvirt_provider import Options, VirtualImage, VirtualMachine, VirtualNetwork

config = pulumi.Config()
source = config.require("image")
image = VirtualImage("guest", source={"url": source} if "://" in source else {"path": source})
lan = VirtualNetwork(
    "lan",
    mode="Nat",
    subnets=[
        {
            "address": "192.168.170.1/24",
            "dhcp": {"ranges": [{"start": "192.168.170.10", "end": "192.168.170.99"}]},
        }
    ],
)
machines = [
    VirtualMachine(
        f"vm-{number}",
        cpu={"cores": 1, "max": 4},
        memory={"size": config.get("memory") or "256Mi", "max": "2Gi"},
        disks=[{"name": "root", "source": {"image": image.object_name, "size": config.get("disk") or "2Gi"}}],
        nics=[{"name": "lan", "network": lan.object_name}],
        options=Options(wait_for="address"),
    )
    for number in range(1, (config.get_int("machines") or 1) + 1)
]
pulumi.export("addresses", {machine._name: machine.address for machine in machines})
