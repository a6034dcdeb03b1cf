"""One-shot acts upon machines: how each is asked for, and when it is done.

An act changes the run record in the same transaction that stores it; the machine's worker does the rest and finds its end here.
Only `reset` has an effect of its own, which is done once and never repeated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from nodeplugin.converge.recorder import Recorder
from nodeplugin.hypervisor.port import DomainRecord, DomainState, Hypervisor
from nodeplugin.plan.step import StartDomain, Step
from nodeplugin.records import RunRecord, StoredObject
from nodeplugin.store import Store
from xvirt.model.errors import Refused, RetryLater, XvirtError
from xvirt.model.exchange import OperateCall, Operation, OperationState, Verb
from xvirt.model.virtualmachine import RunStrategy


def check_verb(verb: Verb, stored: StoredObject, domain: DomainRecord | None, strategy: RunStrategy) -> None:
    """Raise Refused where an act makes no sense now."""
    is_active = domain is not None and domain.is_active
    key = stored.key
    if verb in (Verb.START, Verb.RESTART, Verb.RESTORE) and strategy is RunStrategy.HALTED:
        raise Refused(f"{key} has runStrategy Halted; change that to start it", reason="Halted")
    if verb in (Verb.RESTART, Verb.RESET, Verb.PAUSE, Verb.RESUME, Verb.SAVE) and not is_active:
        raise Refused(f"{key} is not running; start it first", reason="NotRunning")
    if verb is Verb.RESTORE and not (domain is not None and domain.has_managed_save):
        raise Refused(f"{key} has no saved state; use start", reason="NothingSaved")


def request_change(call: OperateCall, domain: DomainRecord | None) -> Callable[[RunRecord], RunRecord]:
    """What an act changes in the run record."""
    grace = 0 if call.force else call.grace_period_s
    domain_id = domain.domain_id if domain is not None and domain.is_active else None
    started = {
        "is_held_off": False,
        "is_start_requested": True,
        "is_finished": False,
        "is_save_requested": False,
        "restarts": 0,
    }
    changes: dict[Verb, dict[str, object]] = {
        Verb.START: {**started, "stop_grace_s": None},
        Verb.RESTORE: {**started, "stop_grace_s": None},
        Verb.STOP: {"is_held_off": True, "is_start_requested": False, "restart_from": None, "stop_grace_s": grace},
        Verb.RESTART: {**started, "restart_from": domain_id, "stop_grace_s": grace, "is_paused": False},
        Verb.PAUSE: {"is_paused": True},
        Verb.RESUME: {"is_paused": False},
        Verb.SAVE: {"is_save_requested": True, "is_start_requested": False, "restart_from": None},
        Verb.RESET: {},
    }
    return lambda run: dataclasses.replace(run, **changes[call.verb])  # type: ignore[arg-type]


class Operations:
    """Ends operations when what they asked for is seen."""

    def __init__(self, hypervisor: Hypervisor, store: Store, recorder: Recorder) -> None:
        self._hypervisor = hypervisor
        self._store = store
        self._recorder = recorder

    def settle(self, stored: StoredObject, domain: DomainRecord | None, error: XvirtError | None) -> None:
        """End what is done; fail what cannot be."""
        for operation in self._open(stored.uid):
            if operation.verb is Verb.RESET:
                self._reset(operation)
            elif _is_reached(operation.verb, stored.run, domain):
                self._recorder.finish(operation)
            elif error is not None and not isinstance(error, RetryLater):
                self._give_up(stored, operation, error)
            elif operation.verb is Verb.SAVE and domain is not None:
                self._recorder.progress(operation, self._hypervisor.save_progress_percent(domain.uuid) or 0)
            elif operation.verb is Verb.RESUME and domain is not None and domain.state is DomainState.PAUSED:
                self._resume(operation)

    def fail_start(self, stored: StoredObject, step: Step, error: XvirtError) -> None:
        """A start that was asked for by hand failed for good: it is not tried for ever unless the strategy says so."""
        if isinstance(step, StartDomain) and not isinstance(error, RetryLater):
            self._store.update_run(stored.uid, lambda run: dataclasses.replace(run, is_start_requested=False))

    def _open(self, uid: str) -> list[Operation]:
        return [item for item in self._store.list_operations(uid) if not item.state.is_final]

    def _give_up(self, stored: StoredObject, operation: Operation, error: XvirtError) -> None:
        self._recorder.finish(operation, error)
        if operation.verb is Verb.SAVE:
            self._store.update_run(stored.uid, lambda run: dataclasses.replace(run, is_save_requested=False))

    def _reset(self, operation: Operation) -> None:
        # Ended before it is done: a crash in between loses a reset, it never repeats one.
        try:
            self._store.put_operation(dataclasses.replace(operation, state=OperationState.SUCCEEDED))
            self._hypervisor.reset_domain(operation.ref.uid)
            self._recorder.finish(operation)
        except XvirtError as error:
            self._recorder.finish(operation, error)

    def _resume(self, operation: Operation) -> None:
        try:
            self._hypervisor.resume_domain(operation.ref.uid)
            self._recorder.finish(operation)
        except XvirtError as error:
            self._recorder.finish(operation, error)


def _is_reached(verb: Verb, run: RunRecord, domain: DomainRecord | None) -> bool:
    is_active = domain is not None and domain.is_active
    if verb in (Verb.START, Verb.RESTORE, Verb.RESTART):
        return is_active and not run.is_start_requested and run.restart_from is None
    if verb is Verb.STOP:
        return not is_active
    if verb is Verb.SAVE:
        return not is_active and domain is not None and domain.has_managed_save
    if domain is None:
        return False
    return domain.state is (DomainState.PAUSED if verb is Verb.PAUSE else DomainState.RUNNING)
