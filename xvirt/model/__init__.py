"""The resource model: every kind and field declared once.

Pure: no I/O, no clocks, no threads. Everybody calls it; it calls nobody.
"""
