"""The only place that knows two worlds: model values and RPC messages, our errors and gRPC's status."""
