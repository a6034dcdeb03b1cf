"""Names of the policy profiles, the strictest first; what they allow is `xvirt.policy`'s."""

PROFILES = ("restricted", "baseline", "privileged")
