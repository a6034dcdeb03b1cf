"""What every process that serves has: a config file that is checked whole before anything starts, and a log.

Used by the node plugin, the operator and the gateway. Must not know any of them.
"""
