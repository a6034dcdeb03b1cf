"""Every performance claim as a command that prints a ratio beside its peer, both taken in one run."""
