"""What the node may rely on when it deals with libvirt's pools."""

from __future__ import annotations

import os
import stat

import pytest

from nodeplugin.hypervisor.port import PoolRecord
from tests.contract.conftest import RealSubject, Subject
from tests.contract.documents import new_uuid, pool_xml
from xvirt.model.errors import Conflict, InvalidSpec, NotFound, Refused


def _record(subject: Subject, identity: str) -> PoolRecord:
    return next(record for record in subject.hypervisor.list_pools() if record.uuid == identity)


def _defined(subject: Subject, name: str = "fast") -> str:
    identity = new_uuid()
    subject.hypervisor.define_pool(pool_xml(name, identity, f"{subject.directory}/{name}"))
    return identity


def test_a_pool_is_defined_started_stopped_and_undefined(subject: Subject) -> None:
    identity = _defined(subject)
    record = _record(subject, identity)
    assert (record.name, record.is_active, record.is_autostarted) == ("fast", False, False)
    assert record.path == f"{subject.directory}/fast"
    assert record.capacity_bytes == 0
    subject.hypervisor.start_pool(identity)
    subject.hypervisor.autostart_pool(identity, enabled=True)
    record = _record(subject, identity)
    assert (record.is_active, record.is_autostarted) == (True, True)
    assert record.capacity_bytes >= record.available_bytes > 0
    subject.hypervisor.refresh_pool(identity)
    subject.hypervisor.autostart_pool(identity, enabled=False)
    subject.hypervisor.stop_pool(identity)
    record = _record(subject, identity)
    assert (record.is_active, record.is_autostarted) == (False, False)
    subject.hypervisor.undefine_pool(identity)
    assert subject.hypervisor.list_pools() == []


def test_what_contradicts_its_state_is_refused(subject: Subject) -> None:
    identity = _defined(subject)
    for call in (subject.hypervisor.stop_pool, subject.hypervisor.refresh_pool):
        with pytest.raises(Refused):
            call(identity)
    subject.hypervisor.start_pool(identity)
    for call in (subject.hypervisor.start_pool, subject.hypervisor.undefine_pool):
        with pytest.raises(Refused):
            call(identity)


def test_a_missing_pool_is_not_found(subject: Subject) -> None:
    for call in (subject.hypervisor.start_pool, subject.hypervisor.stop_pool, subject.hypervisor.undefine_pool):
        with pytest.raises(NotFound):
            call(new_uuid())


def test_a_name_that_is_taken_is_a_conflict(subject: Subject) -> None:
    identity = _defined(subject)
    with pytest.raises(Conflict, match=identity):
        subject.hypervisor.define_pool(pool_xml("fast", new_uuid(), f"{subject.directory}/other"))


@pytest.mark.parametrize("xml", ["<pool", "<domain/>"])
def test_a_broken_definition_is_refused(subject: Subject, xml: str) -> None:
    with pytest.raises(InvalidSpec):
        subject.hypervisor.define_pool(xml)


def test_pool_events_come(subject: Subject) -> None:
    subject.wait_event("pool", _defined(subject))


def test_a_missing_directory_is_built_and_an_existing_one_is_left_as_it_is(real: RealSubject) -> None:
    first = _defined(real, "made")
    real.hypervisor.start_pool(first)
    assert stat.S_IMODE(os.stat(f"{real.directory}/made").st_mode) == 0o711
    os.mkdir(f"{real.directory}/kept", 0o750)
    second = _defined(real, "kept")
    real.hypervisor.start_pool(second)
    assert stat.S_IMODE(os.stat(f"{real.directory}/kept").st_mode) == 0o750


def test_a_directory_that_cannot_be_made_is_refused(real: RealSubject) -> None:
    with open(f"{real.directory}/file", "w"):
        pass
    identity = new_uuid()
    real.hypervisor.define_pool(pool_xml("odd", identity, f"{real.directory}/file/below"))
    with pytest.raises(Refused):
        real.hypervisor.start_pool(identity)
