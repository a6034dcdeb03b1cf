"""A cluster on one machine without containers: a real control plane, fake kubelets, real or fake hosts, the operator.

Called by the tests, the benchmarks, the demo and `./dev cluster`. Everything is below one directory, listens on loopback alone and
ends with `down`, or with its owner where it was made for one.
"""
