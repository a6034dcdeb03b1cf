"""The parts of a VirtualMachine's declaration, one noun a module; `xvirt.model.virtualmachine` puts them together.

Pure, as all of the model. A part imports no other kind.
"""
