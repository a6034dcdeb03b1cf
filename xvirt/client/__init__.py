"""The node's client: a target, a channel, the same calls blocking. Called by the CLI, Pulumi's provider and the operator."""
