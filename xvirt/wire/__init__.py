"""The only place that knows two worlds: model values and RPC messages, our errors and gRPC's status, and what both ends of a
connection agree on (limits, TLS files).

`messages`, `limits` and the tables of `status` are pure; `certificates` reads files. Nothing here opens a channel or serves one. Called by
`xvirt.client` and by the node plugin's server.
"""
