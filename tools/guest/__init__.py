"""The test guest: a small disk image that boots in seconds and answers through qemu-guest-agent.

Builds it from Debian packages that are downloaded and unpacked, never installed: no root, no mount, no loop device.
It must not touch libvirt or the machine's configuration. Called by the lab's tests, the demo and the benchmarks
(`image_path()`), and by people (`python -m tools.guest`).

Inside: serial shell on ttyS0, agent with guest-exec, DHCP on every NIC also when hot-plugged, hot-added CPUs and memory
brought online, `/data` on ext4, NoCloud (host name, `runcmd:` or `#!` user-data once per instance-id; see
`/run/cidata*`), a fast power-off that `/run/ignore-shutdown` or `/data/ignore-shutdown` switches off.

Give it 128 MiB or more (88 is the least that boots). Under TCG its boot translates 61 MiB of code, and QEMU 7.2 aborts
when a vCPU is hot-added while its code buffer is full: set `<tcg><tb-cache unit='MiB'>128</tb-cache></tcg>` or more
for guests whose vCPUs are to grow; 64 is enough for the others.
"""

from tools.guest.image import GuestBuildError, image_path

__all__ = ["GuestBuildError", "image_path"]
