"""KubeVirt's VirtualMachine and VirtualMachineInstance, and CDI's DataVolume (kubevirt.io/v1, cdi.kubevirt.io/v1beta1).

Field names, defaults and meanings: https://kubevirt.io/api-reference/main/definitions.html. `documents.read_kubevirt` is the way in.
"""
