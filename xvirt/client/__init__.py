"""The node's client, blocking (`blocking.NodeClient`) and asyncio (`asynchronous.AsyncNodeClient`), over one set of pure parts.

calls        what is asked and how the answer is read: encoders and decoders, no I/O
schedule     the one table of deadlines and of what may be repeated, and the plan of one call's attempts, no clock
connections  channel, options, credentials; new files make a new channel, calls that run keep theirs
refusals     which certificate is wrong, where a TLS connection was refused
pki          a small installation's own CA

Must not know XML or policy, nor decide what a caller does about an error. Called by the command line and by whoever declares.
"""
