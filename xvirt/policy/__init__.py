"""What a tenant may ask of a host: profiles over the final XML, an allow-list with default deny.

Pure. The node plugin judges every machine, network and pool with it, always, after all merging and before libvirt sees the XML (libvirt runs
`<emulator>` when it defines); a CLI or an admission webhook may ask beforehand. It calls `xvirt.domainxml` and `xvirt.model` alone,
and must not decide who gets which profile: that is the caller's.
"""

from xvirt.model.profiles import PROFILES
from xvirt.policy.check import GRANT, Violation, check, enforce
from xvirt.policy.predicates import HostPaths, log_path

__all__ = ["GRANT", "PROFILES", "HostPaths", "Violation", "check", "enforce", "log_path"]
