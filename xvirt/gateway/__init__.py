"""The aggregated API `subresources.xvirt.io`: what is asked of a machine beside its object, carried to the host that it runs on.

    kube-apiserver --TLS, its own certificate, the user in headers--> authentication --> paths --> authorization --> subresources
                                                                                                                        |
                            node plugin <--gRPC, mutual TLS, the leader's epoch-- nodes <-- machines (object, host, Lease)

config          the config file
tls             the serving certificate and the CA of callers, both exchanged while serving
trust           which callers speak in others' names: what the API server publishes of itself, read again each minute
authentication  PURE: certificate and headers to a user
paths           PURE: a path to what is asked for, exactly once
discovery       PURE: the documents by which clients find the API
authorization   asks the API server whether the user may, though it has asked itself before
machines        which host a machine is on, how it is reached, the fencing token
nodes           clients of the nodes, kept for a while
subresources    the table of what can be asked for, and the acts
server          one request from its first byte to its answer
main            wiring

Replicas hold no state: any of them answers any request. It changes nothing at the API server and decides nothing: the node does. Console and
VNC will be further rows of the table in `subresources`, whose handlers answer with a stream.
"""
