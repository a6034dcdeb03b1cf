"""xVirt's objects as programs of other tools: what runs becomes Python for Pulumi.

Pure, as the model: documents in, text out. Called by `xvirt export`; knows nothing of files, nodes or of Pulumi itself.
"""
