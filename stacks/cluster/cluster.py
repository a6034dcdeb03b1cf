"""A Kubernetes cluster in which xVirt's operator runs: the same classes as custom resources, which its scheduler places."""

import pulumi

from xvirt_provider import Options, Timeouts, VirtualImage, VirtualMachine, VirtualNetwork

config = pulumi.Config()
namespace = config.get("namespace") or "default"
image = VirtualImage("guest", source={"url": config.require("image")}, namespace=namespace, target="cluster")
lan = VirtualNetwork(
    "lan",
    mode="Nat",
    subnets=[
        {
            "address": "192.168.172.1/24",
            "dhcp": {"ranges": [{"start": "192.168.172.10", "end": "192.168.172.99"}]},
        }
    ],
    namespace=namespace,
    target="cluster",
)
machines = [
    VirtualMachine(
        f"vm-{number}",
        memory={"size": config.get("memory") or "256Mi", "max": "2Gi"},
        disks=[{"name": "root", "source": {"image": image.object_name, "size": config.get("disk") or "2Gi"}}],
        nics=[{"name": "lan", "network": lan.object_name}],
        cloud_init={"user_data": {"inline": config.get("userData") or "#cloud-config\n"}},
        namespace=namespace,
        target="cluster",
        options=Options(timeouts=Timeouts(create=900)),
    )
    for number in range(1, (config.get_int("machines") or 1) + 1)
]
pulumi.export("hosts", {machine._name: machine.host for machine in machines})
pulumi.export("addresses", {machine._name: machine.address for machine in machines})
