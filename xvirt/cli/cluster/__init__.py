"""A cluster as a place that holds objects: its API server, and behind that the gateway for what an object cannot say.

place    implements `xvirt.cli.place.Place`
loop     the event loop that the asynchronous client lives in, beside a blocking command
access   which cluster, as whom, and the namespace; of a kubeconfig, without asking anybody
views    PURE: the API server's objects as those that a node answers
follow   objects and events, and what changes of them

Needs the packages of the extra `cluster`: imported only where a cluster is asked for.
"""
