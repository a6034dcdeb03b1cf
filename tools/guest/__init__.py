"""The test guest: a small disk image that boots in seconds and answers through qemu-guest-agent.

Builds it from Debian packages that are downloaded and unpacked, never installed: no root, no mount, no loop device.
It must not touch libvirt or the machine's configuration. Called by the lab's tests, the demo and the benchmarks
(`image_path()`), and by people (`python -m tools.guest`).

Inside: serial shell on ttyS0, agent with guest-exec, DHCP on every NIC also when hot-plugged, hot-added CPUs and memory
brought online, `/data` on ext4, NoCloud (host name, `runcmd:` or `#!` user-data once per instance-id; see
`/run/cidata*`), a fast power-off that `/run/ignore-shutdown` or `/data/ignore-shutdown` switches off.
"""

from tools.guest.image import GuestBuildError, image_path

__all__ = ["GuestBuildError", "image_path"]
