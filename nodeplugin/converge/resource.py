"""The worker of everything but machines: images, disks, networks, pools. One loop for all; a kind is three functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from nodeplugin.converge.host import Host
from nodeplugin.converge.machine import Visit, is_stalled
from nodeplugin.converge.observe import Observer
from nodeplugin.converge.recorder import Recorder
from nodeplugin.hypervisor.port import PoolSpace
from nodeplugin.images.port import TransferFacts
from nodeplugin.plan.network import plan_network, plan_network_removal
from nodeplugin.plan.observation import NetworkObservation, PoolObservation, VolumeObservation
from nodeplugin.plan.outcome import Plan
from nodeplugin.plan.pool import plan_pool, plan_pool_removal
from nodeplugin.plan.status import (
    Verdict,
    base_conditions,
    condition,
    judge_failure,
    judge_plan,
    keep_times,
    last_error,
)
from nodeplugin.plan.step import CreateVolume, Step
from nodeplugin.plan.volume import (
    TRANSFER_REASONS,
    find_difference,
    is_taken_back,
    plan_virtual_disk,
    plan_virtual_image,
    plan_volume_removal,
)
from nodeplugin.records import Deletion, StoredObject
from nodeplugin.steps.run import run_step
from nodeplugin.store import Store
from xvirt.model.errors import XvirtError
from xvirt.model.exchange import EventType
from xvirt.model.identity import host_name
from xvirt.model.meta import ConditionStatus, ConditionType, Resource
from xvirt.model.quantity import ByteSize
from xvirt.model.storage import ImageCompression, StoragePoolStatus, VirtualDiskSpec, VirtualImageSpec, VolumeStatus
from xvirt.model.virtualnetwork import VirtualNetworkStatus

ROUNDS_MAX = 4


@dataclasses.dataclass(frozen=True)
class Kind:
    """How one kind is observed, planned and described. Functions take (stored, resource, observation)."""

    observe: Callable[[StoredObject, Resource], Any]
    plan: Callable[[StoredObject, Resource, Any], Plan]
    plan_removal: Callable[[StoredObject, Resource, Any], Plan]
    describe: Callable[[StoredObject, Resource, Any, Any], Any]
    ready_word: str = "Ready"


class ResourceWorker:
    """Converges what is not a machine."""

    def __init__(self, host: Host, store: Store, observer: Observer, recorder: Recorder) -> None:
        self._host = host
        self._store = store
        self._observer = observer
        self._recorder = recorder
        self._kinds = _kinds(host, observer)

    def visit(self, stored: StoredObject) -> Visit:
        """One visit. Raises nothing but bugs."""
        resource = stored.resource
        kind = self._kinds[stored.kind]
        observed: Any = None
        plan = Plan()
        previous: tuple[Step, ...] = ()
        try:
            for _ in range(ROUNDS_MAX):
                observed = kind.observe(stored, resource)
                plan = self._plan(kind, stored, resource, observed)
                if plan.is_gone:
                    self._recorder.tell_kept(stored, plan.kept)
                    return Visit(is_gone=True)
                if not plan.steps or plan.steps == previous:
                    break
                if not is_stalled(stored):
                    self._report(kind, stored, resource, (observed, plan, None))
                self._run(kind, stored, resource, plan)
                previous = plan.steps
        except XvirtError as error:
            self._report(kind, stored, resource, (observed, plan, error))
            self._recorder.fail(stored, error)
            return Visit(has_failed=True)
        if not previous:
            self._tell_taken_back(stored, observed, plan)
        self._report(kind, stored, resource, (observed, plan, None))
        is_waiting = any(item.reason not in TRANSFER_REASONS for item in plan.waiting)
        return Visit(
            again_s=plan.check_after_s,
            has_failed=is_waiting or bool(plan.blocked),
            is_under_way=bool(plan.waiting) and not is_waiting,
        )

    def _tell_taken_back(self, stored: StoredObject, observed: Any, plan: Plan) -> None:
        """A disk whose volume nobody made for it has that volume's content, whatever its source says."""
        volume = observed.volume if stored.kind == "VirtualDisk" else None
        if volume is None or plan.blocked or not is_taken_back(stored, volume):
            return
        if CreateVolume.name not in self._store.interrupted_steps().get(stored.uid, ""):
            message = f"volume {volume.path} was there before; its content was kept, and nothing was copied into it"
            self._recorder.tell(stored, EventType.NORMAL, "VolumeTakenBack", message)

    def preview(self, stored: StoredObject) -> Plan:
        """The plan for a document that may not be stored yet; no effect."""
        resource = stored.resource
        kind = self._kinds[stored.kind]
        return self._plan(kind, stored, resource, kind.observe(stored, resource))

    def _plan(self, kind: Kind, stored: StoredObject, resource: Resource, observed: Any) -> Plan:
        choose = kind.plan if stored.deletion is Deletion.NONE else kind.plan_removal
        return choose(stored, resource, observed)

    def _run(self, kind: Kind, stored: StoredObject, resource: Resource, plan: Plan) -> None:
        self._store.begin_steps(stored.uid, [step.name for step in plan.steps], self._recorder.now())
        for step in plan.steps:
            run_step(step, self._host, lambda percent: self._progress(stored, percent))
            reason = "".join(part.capitalize() for part in step.name.split("-"))
            self._recorder.tell(stored, EventType.NORMAL, reason, step.summary)
        self._store.end_steps(stored.uid)

    def _progress(self, stored: StoredObject, percent: int) -> None:
        current = self._store.find(stored.uid)
        if current is None:
            return
        status = self._recorder.old_status(current)
        if isinstance(status, VolumeStatus) and status.progress_percent != percent:
            self._recorder.write_status(current, dataclasses.replace(status, progress_percent=percent))

    def _report(
        self, kind: Kind, stored: StoredObject, resource: Resource, seen: tuple[Any, Plan, XvirtError | None]
    ) -> None:
        observed, plan, error = seen
        current = self._store.find(stored.uid)
        if current is None:
            return
        old = self._recorder.old_status(current)
        now = self._recorder.now()
        verdict = self._judge(kind, stored, plan, error)
        conditions = list(base_conditions(verdict, stored.generation))
        if plan.restart_required:
            waits = ", ".join(plan.restart_required)
            message = f"{waits} will change when no running machine uses it any more"
            conditions.append(
                condition(
                    ConditionType.RESTART_REQUIRED, ConditionStatus.TRUE, "FieldsWait", message, stored.generation
                )
            )
        status = kind.describe(stored, resource, observed, old) if observed is not None else old
        if plan.restart_required or getattr(status, "restart_required", ()):
            status = dataclasses.replace(status, restart_required=plan.restart_required)
        status = dataclasses.replace(
            status,
            observed_generation=stored.generation,
            printable_status=verdict.word,
            conditions=keep_times(tuple(conditions), old.conditions, now),
            last_error=last_error(error, old.last_error, now),
        )
        self._recorder.write_status(current, status)

    def _judge(self, kind: Kind, stored: StoredObject, plan: Plan, error: XvirtError | None) -> Verdict:
        if error is not None:
            return judge_failure(error, "Retrying")
        if stored.deletion is Deletion.NONE:
            return judge_plan(plan, kind.ready_word, "Progressing")
        message = plan.waiting[0].message if plan.waiting else "being deleted"
        return Verdict(ConditionStatus.FALSE, "Terminating", message, True, False, "Terminating")


def _kinds(host: Host, observer: Observer) -> dict[str, Kind]:
    return {
        "VirtualDisk": Kind(
            observe=observer.volume,
            plan=lambda stored, resource, seen: plan_virtual_disk(
                stored, resource.spec, seen, host.index.use_by_others(stored.uid)
            ),
            plan_removal=lambda stored, resource, seen: plan_volume_removal(stored, resource.spec, seen),
            describe=_describe_volume,
        ),
        "VirtualImage": Kind(
            observe=observer.volume,
            plan=lambda stored, resource, seen: plan_virtual_image(stored, resource.spec, seen),
            plan_removal=lambda stored, resource, seen: plan_volume_removal(stored, resource.spec, seen),
            describe=_describe_volume,
        ),
        "VirtualNetwork": Kind(
            observe=observer.network,
            plan=plan_network,
            plan_removal=lambda stored, resource, seen: plan_network_removal(stored, resource.spec, seen),
            describe=_describe_network,
            ready_word="Active",
        ),
        "StoragePool": Kind(
            observe=observer.pool,
            plan=plan_pool,
            plan_removal=lambda stored, resource, seen: plan_pool_removal(stored, seen),
            describe=_describe_pool,
            ready_word="Active",
        ),
    }


def _describe_volume(
    stored: StoredObject, resource: Resource, observed: VolumeObservation, old: VolumeStatus
) -> VolumeStatus:
    volume, spec = observed.volume, resource.spec
    is_strange = isinstance(spec, VirtualDiskSpec) and find_difference(stored, spec, volume) is not None
    if volume is None or is_strange:
        lost = ""
        if isinstance(spec, VirtualDiskSpec):  # remembered: a lost one is never made anew
            lost = old.path or next(iter(stored.run.expected), "")
        bare = dataclasses.replace(old, path=lost, size=None, allocation=None, used_by=())
        return _describe_transfer(bare, observed.transfer)
    return dataclasses.replace(
        _describe_transfer(old, None),
        path=volume.path,
        size=ByteSize(volume.capacity_bytes),
        allocation=ByteSize(volume.allocation_bytes),
        checksum=_find_checksum(resource, observed) or old.checksum,
        used_by=observed.users[:1024],
    )


def _find_checksum(resource: Resource, observed: VolumeObservation) -> str | None:
    """Of an image that is in place; what was packed was summed before it was unpacked."""
    if observed.transfer is not None and observed.transfer.checksum is not None:
        return observed.transfer.checksum
    spec = resource.spec
    is_packed = isinstance(spec, VirtualImageSpec) and spec.compression is not ImageCompression.NONE
    return spec.checksum if is_packed else None


def _describe_transfer(old: VolumeStatus, transfer: TransferFacts | None) -> VolumeStatus:
    if transfer is None or transfer.error is not None:
        return dataclasses.replace(old, progress_percent=None, transferred=None, transfer_size=None)
    done, total = transfer.done_bytes, transfer.total_bytes
    return dataclasses.replace(
        old,
        progress_percent=min(99, done * 100 // total) if total else None,
        transferred=ByteSize(done),
        transfer_size=ByteSize(total) if total else None,
    )


def _describe_network(
    stored: StoredObject, resource: Resource, observed: NetworkObservation, old: VirtualNetworkStatus
) -> VirtualNetworkStatus:
    record = observed.record
    if record is None:
        return dataclasses.replace(old, uuid=None, network_name="", bridge=resource.spec.bridge or "")
    name = host_name(stored.namespace, stored.name)
    return dataclasses.replace(old, uuid=record.uuid, network_name=name, bridge=record.bridge)


def _describe_pool(
    stored: StoredObject, resource: Resource, observed: PoolObservation, old: StoragePoolStatus
) -> StoragePoolStatus:
    record = observed.record
    if record is None:
        return dataclasses.replace(old, uuid=None, path="", capacity=None, available=None)
    capacity, available = _describe_space(observed.space, old)
    return dataclasses.replace(old, uuid=record.uuid, path=record.path, capacity=capacity, available=available)


def _describe_space(space: PoolSpace | None, old: StoragePoolStatus) -> tuple[ByteSize | None, ByteSize | None]:
    """Capacity, and what is available: every write on the file system moves that, so it is told again when a percent has gone."""
    if space is None:
        return None, None
    capacity, available = ByteSize(space.capacity_bytes), ByteSize(space.available_bytes)
    if old.capacity == capacity and old.available is not None and abs(old.available - available) < capacity // 100:
        return capacity, old.available
    return capacity, available
