"""The rules of the documents that are no domain: networks, pools, volumes, filters and snapshots. One table each, for `restricted` and
`baseline` alike: what they keep out belongs to the host, of which there is no share to give.
"""

from __future__ import annotations

from collections.abc import Mapping

from xvirt.policy.allowed import Allowed, Table, below, element, leaves, settings
from xvirt.policy.predicates import address, anything, line, mac, number, of_node, one_of, plain, switch

_NETWORK: dict[str, Allowed] = {
    "": element(ipv6=switch),
    "name": element(plain),
    "uuid": element(plain),
    "title": element(anything),
    "description": element(anything),
    "forward": element(mode=one_of("nat", "route")),
    "forward/nat": element(ipv6=switch),
    "forward/nat/port": settings("start end", number),
    "bridge": element(name=of_node, stp=switch, delay=number),
    "mtu": element(size=number),
    "mac": element(address=mac),
    "domain": element(name=plain, localOnly=switch),
    "dns": element(enable=switch),
    "dns/forwarder": element(addr=address, domain=plain),
    "dns/txt": element(name=plain, value=line),
    "dns/host": element(ip=address),
    "dns/host/hostname": element(plain),
    "dns/srv": settings("service protocol domain target port priority weight", plain),
    "ip": element(family=plain, address=address, netmask=address, prefix=number, localPtr=switch),
    "ip/dhcp": element(),
    "ip/dhcp/range": settings("start end", address),
    "ip/dhcp/range/lease": element(expiry=number, unit=plain),
    "ip/dhcp/host": element(mac=mac, id=plain, name=plain, ip=address),
    "ip/dhcp/host/lease": element(expiry=number, unit=plain),
    "bandwidth": element(),
    "bandwidth/inbound": settings("average peak burst", number),
    "bandwidth/outbound": settings("average peak burst", number),
    "port": element(isolated=switch),
}

_POOL: dict[str, Allowed] = {
    "": element(type=one_of("dir")),
    "name": element(plain),
    "uuid": element(plain),
    **leaves("capacity allocation available", element(number, unit=plain)),
    "target": element(),
    "target/path": element(of_node),
}

_VOLUME: dict[str, Allowed] = {
    "": element(type=one_of("file")),
    "name": element(plain),
    "key": element(of_node),
    **leaves("capacity allocation physical", element(number, unit=plain)),
    "target": element(),
    "target/path": element(of_node),
    "target/format": element(type=one_of("qcow2", "raw")),
    "target/compat": element(plain),
    "target/clusterSize": element(number, unit=plain),
    "target/features": element(),
    "target/features/lazy_refcounts": element(),
    "target/features/extended_l2": element(),
    "backingStore": element(),
    "backingStore/path": element(of_node),
    "backingStore/format": element(type=one_of("qcow2", "raw")),
}

_FILTER: dict[str, Allowed] = {
    "": element(name=plain, chain=plain, priority=plain),
    "uuid": element(plain),
    "filterref": element(filter=plain),
    "filterref/parameter": element(name=plain, value=plain),
    "rule": settings("action direction priority statematch", plain),
}
_MATCHES = (
    "mac vlan stp arp rarp ip ipv6 tcp tcp-ipv6 udp udp-ipv6 udplite udplite-ipv6 sctp sctp-ipv6 icmp icmpv6 igmp esp esp-ipv6"
    " ah ah-ipv6 all all-ipv6"
)
_MATCHED = (
    "match srcmacaddr srcmacmask dstmacaddr dstmacmask protocolid comment vlanid encap-protocol type hwtype protocoltype opcode"
    " arpsrcmacaddr arpdstmacaddr arpsrcipaddr arpsrcipmask arpdstipaddr arpdstipmask gratuitous srcipaddr srcipmask dstipaddr"
    " dstipmask srcipfrom srcipto dstipfrom dstipto protocol srcportstart srcportend dstportstart dstportend dscp state flags"
    " typeend code codeend connlimit-above"
)

_SNAPSHOT: dict[str, Allowed] = {
    "": element(),
    "name": element(plain),
    "description": element(anything),
    "state": element(plain),
    "creationTime": element(number),
    "parent": element(),
    "parent/name": element(plain),
    "memory": element(snapshot=one_of("no", "internal"), file=of_node),
    "disks": element(),
    "disks/disk": element(name=plain, snapshot=plain, type=one_of("file")),
    "disks/disk/driver": element(type=one_of("qcow2", "raw")),
    "disks/disk/source": element(file=of_node),
}

OTHERS: Mapping[str, Table] = {
    "network": _NETWORK,
    "pool": _POOL,
    "volume": _VOLUME,
    "filter": {**_FILTER, **below("rule", leaves(_MATCHES, settings(_MATCHED, plain)))},
    "domainsnapshot": _SNAPSHOT,
}
"""Name of the root element -> its table."""

EMBEDDED = {"domainsnapshot": frozenset({"domain", "inactiveDomain"})}
"""Elements of a document that hold a whole domain, which is judged as one."""
