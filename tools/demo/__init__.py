"""`./dev demo`: the main job on one real node, each command with its real output."""
