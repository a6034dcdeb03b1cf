"""The node plugin: stores desired documents, converges one host's libvirt to them, and keeps it converged.

Server decodes and encodes; `converge` decides when; `plan` (pure) decides what; `steps` does it; `hypervisor` alone speaks libvirt.
"""
