"""Disks, images, networks and pools of a cluster: on which hosts each belongs, how it gets there, what its hosts say, how it goes.

references   what documents name, and the hosts that this binds a machine to            pure
needs        who needs what where, kept up to date change by change
places       the hosts of an object                                                     pure
records      what a decision is made from                                               pure
judge        an object on one host, and on all                                          pure
status       the status of the whole                                                    pure
decide       the next write about it, the next call to a host                           pure
controller   gathers, decides, does one effect
following    which objects a change brings up

A kind is a row of `records.ALL`. Whatever is asked of a host is asked by that host's own key of a second queue: a host that hangs holds up
nobody else.
"""
