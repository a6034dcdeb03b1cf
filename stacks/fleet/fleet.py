"""Several hosts over mutual TLS: what each of them needs, and machines spread over them by name, each with the disk that it keeps."""

import pulumi

from xvirt_provider import Options, VirtualDisk, VirtualImage, VirtualMachine, VirtualNetwork, XVirtFleet

config = pulumi.Config()
fleet = XVirtFleet.from_config()
source = config.require("image")
needed: list[pulumi.Resource] = []
for node in fleet.nodes:
    needed += [
        VirtualImage(
            f"guest@{node.node_name}",
            name="guest",
            source={"url": source} if "://" in source else {"path": source},
            node=node,
        ),
        VirtualNetwork(
            f"lan@{node.node_name}",
            name="lan",
            mode="Nat",
            subnets=[
                {
                    "address": "192.168.171.1/24",
                    "dhcp": {"ranges": [{"start": "192.168.171.10", "end": "192.168.171.99"}]},
                }
            ],
            node=node,
        ),
    ]

hosts: dict[str, pulumi.Output[str]] = {}
for number in range(1, (config.get_int("machines") or 4) + 1):
    name = f"vm-{number}"
    place = fleet.group(name)  # the machine and its disk are on one node, whichever that is
    data = VirtualDisk(f"{name}-data", size="64Mi", node=place)
    machine = VirtualMachine(
        name,
        memory={"size": config.get("memory") or "256Mi", "max": "2Gi"},
        disks=[
            {
                "name": "root",
                "source": {"image": "guest", "size": config.get("disk") or "2Gi"},
                "deletion_policy": "Delete",
            },
            {"name": "data", "source": {"disk": data.object_name}},
        ],
        nics=[{"name": "lan", "network": "lan"}],
        node=place,
        options=Options(wait_for="running"),
        opts=pulumi.ResourceOptions(depends_on=needed),
    )
    hosts[name] = machine.host
pulumi.export("hosts", hosts)
