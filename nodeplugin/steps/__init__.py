"""Does what a plan says: one module per noun, each step idempotent.

Called by `converge` alone, with one worker per object. A step that returns has taken effect; one that raises has left a state that
the next observation and plan go on from.
"""
