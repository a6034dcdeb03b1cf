"""Everything that is generated: gRPC stubs, CRDs, reference pages. `./dev gen` writes them, `./dev gen --check` compares."""
