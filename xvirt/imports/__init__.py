"""Other systems' declarations, read into xVirt's: KubeVirt manifests, uni-virt lifecycle documents, Terraform states.

Pure, as the model: values in, values out. Nothing is dropped without a word: a document is read through `source.Source`, which knows
at the end what nobody took. Called by `xvirt import`; knows nothing of files, nodes or clusters.
"""
