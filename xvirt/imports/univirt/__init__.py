"""uni-virt's documents (doslab.io/v1): acts upon machines, disks, images, pools and networks as JSON, one verb each.

A stream of acts is played in its order upon the manifests that are there; what stands at the end is what the acts would have left.
Verbs and their parameters: https://github.com/kubesys/uni-virt, docs/API.md; most are options of virsh and virt-install.
`documents.read_univirt` is the way in.
"""
