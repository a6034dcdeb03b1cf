"""Writes what is generated from the model and from node.proto, or says what is stale. `./dev gen` calls it; nothing imports it but tests."""
