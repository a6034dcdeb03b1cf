"""In-memory stand-ins for the node's ports, proven by `tests/contract` against the real things.

`FakeHypervisor` and `FakeVolumes` behave like libvirt and qemu-img as far as the node can see; `Faults` makes them fail or "kill the
plugin" at a chosen call. They start nothing and touch no file.
"""
