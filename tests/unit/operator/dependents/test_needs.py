"""Who needs what where, change by change."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xvirt.operator.dependents.needs import DISK, IMAGE, NETWORK, POOL, Needs
from xvirt.operator.runtime.resources import Key

LAN = Key("default", "lan")
DATA = Key("default", "data")


def vm(name: str = "web", host: str = "", *, is_leaving: bool = False, **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": name, "creationTimestamp": f"2026-01-01T00:00:{len(name):02d}Z"}
    if is_leaving:
        metadata["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    return {"metadata": metadata, "spec": spec, "status": {"nodeName": host} if host else {}}


ON_LAN: dict[str, Any] = {"nics": [{"name": "a", "network": "lan"}]}
WITH_DATA: dict[str, Any] = {"disks": [{"name": "data", "source": {"disk": "data"}}]}


class Heard:
    """Needs, and what they told."""

    def __init__(self) -> None:
        self.needs = Needs()
        self.told: list[tuple[str, Key]] = []
        self.needs.subscribe(lambda kind, key: self.told.append((kind, key)))

    def take(self) -> list[tuple[str, Key]]:
        told, self.told = self.told, []
        return told


def test_a_network_is_needed_where_a_machine_that_names_it_is() -> None:
    heard = Heard()
    heard.needs.machine_changed(None, vm(**ON_LAN))
    assert heard.needs.hosts(NETWORK, LAN) == frozenset()
    assert heard.take() == []
    heard.needs.machine_changed(vm(**ON_LAN), vm(host="node-a", **ON_LAN))
    assert heard.needs.hosts(NETWORK, LAN) == {"node-a"}
    assert heard.take() == [(NETWORK, LAN)]


def test_a_second_machine_on_the_host_is_no_news_and_the_last_one_is() -> None:
    heard = Heard()
    heard.needs.machine_changed(None, vm("one", "node-a", **ON_LAN))
    heard.take()
    heard.needs.machine_changed(None, vm("two", "node-a", **ON_LAN))
    heard.needs.machine_changed(vm("one", "node-a", **ON_LAN), None)
    assert heard.take() == []
    heard.needs.machine_changed(vm("two", "node-a", **ON_LAN), None)
    assert heard.take() == [(NETWORK, LAN)]
    assert heard.needs.hosts(NETWORK, LAN) == frozenset()


def test_a_machine_that_is_about_to_go_needs_nothing_new_and_still_uses_its_disk() -> None:
    heard = Heard()
    spec = {**ON_LAN, **WITH_DATA}
    heard.needs.machine_changed(None, vm("web", "node-a", **spec))
    heard.needs.machine_changed(vm("web", "node-a", **spec), vm("web", "node-a", is_leaving=True, **spec))
    assert heard.needs.hosts(NETWORK, LAN) == frozenset()
    (user,) = heard.needs.users(DISK, DATA)
    assert (str(user), user.host, user.is_leaving, user.is_attached) == (
        "VirtualMachine default/web",
        "node-a",
        True,
        True,
    )


def test_a_status_that_tells_the_same_place_changes_nothing() -> None:
    heard = Heard()
    before = vm("web", "node-a", **ON_LAN)
    heard.needs.machine_changed(None, before)
    heard.take()
    heard.needs.machine_changed(before, {**before, "status": {"nodeName": "node-a", "powerState": "Running"}})
    assert heard.take() == []


def test_an_image_is_needed_where_a_disk_of_it_lies() -> None:
    heard = Heard()
    disk = {**vm("data", "node-b"), "spec": {"source": {"image": "debian"}}}
    heard.needs.disk_changed(None, disk)
    assert heard.needs.hosts(IMAGE, Key("default", "debian")) == {"node-b"}
    assert [str(user) for user in heard.needs.users(POOL, Key("", "default"))] == ["VirtualDisk default/data"]


def test_a_disk_knows_those_that_are_attached_to_it_from_those_that_copy_it() -> None:
    heard = Heard()
    heard.needs.machine_changed(None, vm("web", "node-a", **WITH_DATA))
    heard.needs.disk_changed(None, {**vm("copy", "node-b"), "spec": {"source": {"clone": "data"}}})
    found = {user.kind: user.is_attached for user in heard.needs.users(DISK, DATA)}
    assert found == {"VirtualMachine": True, "VirtualDisk": False}
    assert heard.take().count((DISK, DATA)) == 2


def test_a_pool_hears_of_its_first_user_and_of_its_last() -> None:
    heard = Heard()
    image = {**vm("debian"), "spec": {"pool": "fast"}}
    heard.needs.image_changed(None, image)
    assert heard.take() == [(POOL, Key("", "fast"))]
    heard.needs.image_changed(image, None)
    assert heard.take() == [(POOL, Key("", "fast"))]
    assert heard.needs.users(POOL, Key("", "fast")) == ()


HOSTS = st.sampled_from(["", "node-a", "node-b"])
SPECS = st.sampled_from([{}, ON_LAN, WITH_DATA, {**ON_LAN, **WITH_DATA}])


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), HOSTS, st.booleans(), SPECS, st.booleans()), max_size=30))
def test_whatever_the_order_it_ends_as_if_counted_anew(changes: list[tuple[Any, ...]]) -> None:
    heard, there = Heard(), dict[str, Any]()
    for name, host, is_leaving, spec, is_gone in changes:
        old = there.get(name)
        new = None if is_gone else vm(name, host, is_leaving=is_leaving, **spec)
        if old is None and new is None:
            continue
        hosts = heard.needs.hosts(NETWORK, LAN)
        heard.take()
        heard.needs.machine_changed(old, new)
        assert (hosts != heard.needs.hosts(NETWORK, LAN)) == ((NETWORK, LAN) in heard.take())
        there.pop(name, None)
        if new is not None:
            there[name] = new
    anew = Needs()
    for item in there.values():
        anew.machine_changed(None, item)
    assert heard.needs.hosts(NETWORK, LAN) == anew.hosts(NETWORK, LAN)
    assert set(heard.needs.users(DISK, DATA)) == set(anew.users(DISK, DATA))
