"""Everything libvirt: the only package that imports its binding.

`port` says what the node plugin may ask of a hypervisor, in plain values and XML text; `connection` and its siblings answer with
libvirt; tests answer with a fake that the same contract suite checks. It decides nothing and stores nothing.
"""
