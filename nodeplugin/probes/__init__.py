"""Asks guests whether they are well, as their machines declare it: TCP, HTTP, a command or a ping by the agent.

Knows sockets and the hypervisor's port, never libvirt or the store; decides nothing: what follows from an answer is `plan` and `converge`.
"""
