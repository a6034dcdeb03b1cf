"""The program whose state `state.json` is, as it was written for release 0.1.0. It stays as it is."""

from xvirt_provider import Options, Timeouts, VirtualDisk, VirtualMachine, VirtualNetwork

VirtualNetwork(
    "lan",
    mode="Nat",
    subnets=[
        {
            "address": "192.168.161.1/24",
            "dhcp": {"ranges": [{"start": "192.168.161.10", "end": "192.168.161.99"}]},
        }
    ],
)
VirtualDisk("data", size="16Mi", deletion_policy="Delete")
VirtualMachine(
    "web",
    labels={"tier": "front"},
    cpu={"cores": 1, "max": 2},
    memory={"size": "32Mi", "max": "64Mi"},
    disks=[
        {"name": "root", "source": {"size": "16Mi"}, "deletion_policy": "Delete"},
        {"name": "data", "source": {"disk": "data"}},
    ],
    nics=[{"name": "lan", "network": "lan"}],
    cloud_init={"user_data": {"inline": "#!/bin/sh\ntrue\n"}},
    secrets={"keys": {"unused": "word"}},
    run_strategy="Halted",
    options=Options(wait_for="defined", timeouts=Timeouts(create=120, update=120, delete=120)),
)
