"""What a tenant may ask of a host: profiles over the final domain XML, default deny.

Pure. The node plugin asks it for every document, always; a CLI or an admission webhook may ask it beforehand. Rules match by
namespace URI, never by prefix.
"""

from xvirt.policy.check import PROFILES, Violation, check, enforce

__all__ = ["PROFILES", "Violation", "check", "enforce"]
