"""Decides what is to be done: pure functions from (desired, observed) to steps.

No I/O, no clocks, no threads: whatever time matters comes in as elapsed seconds. `converge` calls it before it acts, `service`
calls it for a preview; both get the same plan.
"""
