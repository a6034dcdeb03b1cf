"""`xvirt`, also found by kubectl as `kubectl xvirt`: words and output as kubectl's users expect.

Thin: it reads documents, calls the node, prints. Exit codes stand in `exit_codes`, the commands in one module per group.
"""
