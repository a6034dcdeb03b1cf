"""`xvirt`, also found by kubectl as `kubectl xvirt`: words and output as kubectl's users expect.

Thin: it reads documents, asks a place that holds objects (`place`: a node, or a cluster), prints. Exit codes stand in `exit_codes`, the commands in one module per group.
"""
