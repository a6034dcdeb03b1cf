"""VirtualMachines: finalizer, holder pod, host, Apply, status, and the way back.

`decide`, `holder`, `status` and `document` are pure: what is known in, one effect out. `controller` gathers what is known and does the one
effect.
"""
