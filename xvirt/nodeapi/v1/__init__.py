"""The node RPC: `v1/node.proto` and the stubs generated from it (`./dev gen`; never edited)."""
