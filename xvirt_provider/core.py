"""What a resource's steps do, over the node's client: check, compare, create, read, update, delete. Knows nothing of Pulumi.

Inputs are JSON values: `kind`, `metadata`, `spec`, `authority`, `owner` (the resource within its stack), and where they are not as by
default `node`, `group`, `secrets`, `profile`, `adopt`, `waitFor`, `onTimeout`, `timeouts`. Outputs are the inputs and what the node says.

An object belongs to its stack (the authority) and to one resource of it (an annotation): a step that is repeated finds what it made, and
two resources never share an object.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xvirt import API_VERSION
from xvirt.client.blocking import NodeClient
from xvirt.model.changes import FieldDifference, field_changes
from xvirt.model.codec import normalise
from xvirt.model.errors import Conflict, DeadlineExceeded, NotFound, Problem, Unavailable, XvirtError
from xvirt.model.exchange import ApplyCall, ApplyResult, DryRun, ObjectRef, ObjectView, SecretContent, Token
from xvirt.model.fields import Mutability
from xvirt.model.kinds import BY_NAME
from xvirt.model.meta import DEFAULT_NAMESPACE, Scope
from xvirt.model.validation import validate
from xvirt_provider.adoption import OWNER, check_owner, owner_of, take_over
from xvirt_provider.connection import is_other_node
from xvirt_provider.fleet import GROUP, Claim
from xvirt_provider.naming import python_path
from xvirt_provider.options import TIMEOUT_S
from xvirt_provider.plugin_host import cancelled
from xvirt_provider.unknowns import IsUnknown, Pending, all_known, check_known, has_unknown, settle_inputs
from xvirt_provider.waits import CLOUD_INIT_FAILED, check_wait, has_failed

Values = Mapping[str, Any]
POLL_S = 0.2
_PROBED = "ReadinessProbePending"
STALLED_S = 3.0
"""Seconds that an object must be Stalled before nobody waits for it: what a node said before this declaration is said no more then."""
KEPT_S = 5.0
"""Seconds that a deletion waits while others need the object's volume: those that are deleted beside it go within them."""
_TRANSIENT = ("AgentConnected", "Reconciling")
"""Conditions that come and go by themselves, as with each restart of a guest: as outputs they would make every refresh a change."""
_INPUTS = (
    *("kind", "metadata", "spec", "authority", "owner", "node", "group"),
    *("secrets", "profile", "adopt", "waitFor", "onTimeout", "timeouts"),
)


@dataclasses.dataclass(frozen=True)
class Difference:
    """What an update would do. `replaced`: fields that never change, so that only a new object can have them; `drift`: what a refresh has
    found changed by hand, which the update's Apply puts back; `pending`: what is not known yet; `settled`: metadata and spec of the new
    inputs with the old values where they are not known."""

    changes: tuple[FieldDifference, ...]
    replaced: tuple[str, ...]
    drift: tuple[str, ...]
    pending: tuple[Pending, ...]
    settled: Values
    is_changed: bool


def document_of(inputs: Values) -> dict[str, Any]:
    """The document that a resource's inputs declare, with the mark of its resource."""
    metadata = dict(inputs["metadata"])
    annotations = metadata.get("annotations") or {}
    if isinstance(annotations, Mapping):  # a preview may not know them
        group = {GROUP: inputs["group"]} if inputs.get("group") else {}
        metadata["annotations"] = {**annotations, OWNER: inputs["owner"], **group}
    return {"apiVersion": API_VERSION, "kind": inputs["kind"], "metadata": metadata, "spec": whole(inputs["spec"])}


def whole(value: Any) -> Any:
    """Numbers as they were written: Pulumi carries each as a float, so 2 comes as 2.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [whole(item) for item in value]
    return value


def ref_of(inputs: Values) -> ObjectRef:
    """The object of a resource."""
    metadata = inputs["metadata"]
    is_cluster = BY_NAME[inputs["kind"]].scope is Scope.CLUSTER
    namespace = "" if is_cluster else metadata.get("namespace") or DEFAULT_NAMESPACE
    return ObjectRef(kind=inputs["kind"], namespace=namespace, name=metadata["name"])


def check(inputs: Values, is_unknown: IsUnknown = all_known) -> tuple[Problem, ...]:
    """Everything wrong with what is known of a resource's inputs, by the rules that every way in shares; paths in a program's words."""
    cls, document = BY_NAME[inputs["kind"]].spec, document_of(inputs)
    is_partial = has_unknown(document, is_unknown)
    found = check_known(document, is_unknown) if is_partial else validate(document)
    problems = [dataclasses.replace(item, path=python_path(cls, item.path)) for item in found]
    adopt = inputs.get("adopt", "")
    if not isinstance(adopt, str) and not is_unknown(adopt):
        problems.append(Problem("adopt", "must be text", "give a domain's name or UUID"))
    return tuple(problems) if is_partial else (*problems, *check_wait(inputs))


def claim_of(client: NodeClient, inputs: Values, group: str) -> Claim:
    """What a node has of a resource that is to be placed. Raises XvirtError."""
    ref = ref_of(inputs)
    try:
        found = client.get(ref)
        if found.ref.authority == inputs["authority"] and owner_of(found) == inputs["owner"]:
            return Claim.OBJECT
    except NotFound:
        pass
    if not group:
        return Claim.NONE
    listed = client.list_objects(namespace=ref.namespace)
    mates = (item for item in listed if item.ref.authority == inputs["authority"])
    is_there = any((item.document["metadata"].get("annotations") or {}).get(GROUP) == group for item in mates)
    return Claim.GROUP if is_there else Claim.NONE


def compare(olds: Values, news: Values, is_unknown: IsUnknown = all_known) -> Difference:
    """What differs between what was declared and what is, by the model's table; what is not known yet counts as it was."""
    settled, pending = settle_inputs(olds, news, is_unknown)
    news = {**news, **settled}
    before, after = document_of(olds), document_of(news)
    changes = field_changes(news["kind"], before["spec"], after["spec"])
    replaced = [change.path for change in changes if change.mutability is Mutability.FIXED]
    replaced += [key for key in ("kind", "authority") if olds.get(key) != news.get(key)]
    replaced += [f"metadata.{key}" for key in ("name", "namespace") if _meta(olds, key) != _meta(news, key)]
    if is_other_node(olds, news):
        replaced.append("node")
    others = ("secrets", "profile")
    drift = tuple(olds.get("drift") or ())
    is_changed = bool(changes or replaced or drift or pending or normalise(before) != normalise(after))
    is_changed = is_changed or any(olds.get(key) != news.get(key) for key in others)
    return Difference(changes, tuple(replaced), drift, pending, settled, is_changed)


def _meta(inputs: Values, key: str) -> Any:
    return inputs["metadata"].get(key) or (DEFAULT_NAMESPACE if key == "namespace" else None)


def plan(client: NodeClient, inputs: Values) -> ApplyResult | None:
    """What the node would do; None where it cannot be reached, and the model's table is all there is to say."""
    try:
        return client.apply(_call(inputs, DryRun.PLAN))
    except Unavailable:
        return None


def _call(inputs: Values, dry_run: DryRun = DryRun.NONE) -> ApplyCall:
    return ApplyCall(
        document=document_of(inputs),
        token=Token(authority=inputs["authority"]),
        secrets=tuple(
            SecretContent(name=name, data={key: text.encode() for key, text in data.items()})
            for name, data in sorted((inputs.get("secrets") or {}).items())
        ),
        dry_run=dry_run,
        profile=inputs.get("profile") or "",
    )


def create(client: NodeClient, inputs: Values) -> dict[str, Any]:
    """Declare the object, or find it declared by this resource before, or take over what `adopt` names; wait; outputs. Raises
    XvirtError."""
    ref, owner = ref_of(inputs), inputs["owner"]
    if inputs.get("adopt"):
        take_over(client, ref, _call(inputs), inputs["adopt"], owner)
    else:
        check_owner(client, ref, inputs["authority"], owner)
    return _apply_and_wait(client, inputs, "create")


def update(client: NodeClient, inputs: Values, drift: Sequence[str] = ()) -> dict[str, Any]:
    """Declare the object as it is to be now; wait; outputs. Raises XvirtError.

    Where a refresh has found `drift` that the policy only reports, the object is first declared with `Correct`.
    """
    if is_put_back(drift, inputs):
        _apply_and_wait(client, {**corrected(inputs), "waitFor": "ready"}, "update")
    return _apply_and_wait(client, inputs, "update")


def is_put_back(drift: Sequence[str], inputs: Values) -> bool:
    """Whether an update has to undo what the object's policy leaves as it is."""
    return bool(drift) and inputs["spec"].get("driftPolicy") == "Report"


def corrected(inputs: Values) -> dict[str, Any]:
    """The same declaration with a policy that undoes what was changed by hand."""
    return {**inputs, "spec": {**inputs["spec"], "driftPolicy": "Correct"}}


def _apply_and_wait(client: NodeClient, inputs: Values, step: str) -> dict[str, Any]:
    result = _apply(client, inputs)
    limit_s = float((inputs.get("timeouts") or {}).get(step) or TIMEOUT_S[step])
    view, warning = _wait(client, inputs, result.object, limit_s)
    outputs = outputs_of(inputs, view)
    if not warning:
        return outputs
    if inputs.get("onTimeout") == "fail" and not cancelled.is_set():
        raise DeadlineExceeded(
            f"{warning}; it stays as it is, and the next `pulumi up` goes on with it", reason="NotReady"
        )
    return {**outputs, "warning": warning}


def _apply(client: NodeClient, inputs: Values) -> ApplyResult:
    try:
        return client.apply(_call(inputs))
    except Conflict as error:
        if error.reason != "Deleting":
            raise
        waits = _state_of(client.get(ref_of(inputs)).document)
        raise Conflict(f"{error.message}: {waits}", reason=error.reason) from None


def _wait(client: NodeClient, inputs: Values, view: ObjectView, limit_s: float) -> tuple[ObjectView, str]:
    wanted = inputs.get("waitFor") or _default_wait(inputs)
    reached = _REACHED[wanted]
    began = moving = time.monotonic()
    while not reached(view.document):
        now = time.monotonic()
        moving = moving if _is_true("Stalled")(view.document) else now
        if wanted == "cloud-init" and has_failed(view.document):
            return view, f"{view.ref}: {CLOUD_INIT_FAILED}"
        if now - moving > STALLED_S:
            return view, f"{view.ref} is not as declared: {_state_of(view.document)}"
        if now - began >= limit_s:
            return view, f"{view.ref} is not {wanted} after {limit_s:g} s: {_state_of(view.document)}"
        if cancelled.wait(POLL_S):
            return view, f"{view.ref} was not waited for any longer: {_state_of(view.document)}"
        try:
            view = client.get(view.ref)
        except Unavailable:
            continue  # it was accepted: the deadline is the only end
    return view, ""


def _default_wait(inputs: Values) -> str:
    if inputs["kind"] == "VirtualMachine" and (inputs["spec"].get("runStrategy") or "Always") == "Always":
        return "running"
    return "ready"


def _condition(document: Any, kind: str) -> Any:
    conditions = (document.get("status") or {}).get("conditions") or ()
    return next((item for item in conditions if item["type"] == kind), {})


def _is_true(kind: str) -> Callable[[Any], bool]:
    def holds(document: Any) -> bool:
        found = _condition(document, kind)
        is_current = found.get("observedGeneration") == document["metadata"].get("generation")
        return bool(is_current and found.get("status") == "True")

    return holds


def _is_observed(document: Any) -> bool:
    return bool((document.get("status") or {}).get("observedGeneration") == document["metadata"].get("generation"))


def _is_defined(document: Any) -> bool:
    state = (document.get("status") or {}).get("powerState")
    return _is_observed(document) and (state not in ("NotDefined", "Unknown", None) or _is_true("Ready")(document))


def _is_running(document: Any) -> bool:
    """Running, and as declared, with or without its guest's consent to a readiness probe."""
    is_on = _is_observed(document) and (document.get("status") or {}).get("powerState") == "Running"
    is_changing = _is_true("Reconciling")(document) and _condition(document, "Reconciling").get("reason") != _PROBED
    return is_on and not is_changing and not _is_true("Stalled")(document)


_REACHED: dict[str, Callable[[Any], bool]] = {
    "accepted": lambda document: True,
    "defined": _is_defined,
    "running": _is_running,
    "address": lambda document: _is_running(document) and bool(_addresses(document)),
    "agent": _is_true("AgentConnected"),
    "cloud-init": _is_true("Ready"),
    "ready": _is_true("Ready"),
}


def _state_of(document: Any) -> str:
    ready = _condition(document, "Ready")
    word = (document.get("status") or {}).get("printableStatus") or "nothing is known of it yet"
    return f"{word}: {ready['message']}" if ready.get("message") else str(word)


def read(client: NodeClient, inputs: Values) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Outputs, and inputs as they are now; None where the object is gone. Raises XvirtError where the node cannot be asked: what cannot be
    reached is not gone."""
    try:
        view = client.get(ref_of(inputs))
    except NotFound:
        return None
    if view.ref.authority != inputs["authority"] or view.is_deleting:
        return None
    now = {key: value for key, value in inputs.items() if key in _INPUTS}
    stored = dict(view.document["spec"])
    if field_changes(inputs["kind"], whole(inputs["spec"]), stored):
        now["spec"] = stored
    return outputs_of(now, view), now


def delete(client: NodeClient, inputs: Values) -> str:
    """Delete the object and wait until the node says that it is gone; a warning, mostly empty. One that is gone already, or another
    stack's, is left alone. Raises XvirtError.

    An image or disk that others need, such as the disk that a deleted machine leaves, is gone once they are: the node sees to that, and
    nobody waits for it.
    """
    ref = ref_of(inputs)
    deadline = time.monotonic() + float((inputs.get("timeouts") or {}).get("delete") or TIMEOUT_S["delete"])
    kept_until = time.monotonic() + KEPT_S
    try:
        found = client.get(ref)
        if found.ref.authority != inputs["authority"]:
            return ""
        client.delete(ref, Token(authority=inputs["authority"]))
        while time.monotonic() < deadline:
            found = client.get(ref)
            if not (found.document.get("status") or {}).get("usedBy"):
                kept_until = time.monotonic() + KEPT_S
            elif time.monotonic() > kept_until:
                return f"{ref} is still there: {_state_of(found.document)}"
            if cancelled.wait(POLL_S):
                break
    except NotFound:
        return ""
    raise DeadlineExceeded(f"{ref} is still being deleted: {_state_of(found.document)}", reason="Deleting")


def outputs_of(inputs: Values, view: ObjectView) -> dict[str, Any]:
    """A resource's outputs: its inputs, and what the node says of the object. No rendered XML, nothing of a Secret."""
    document = view.document
    status = document.get("status") or {}
    outputs: dict[str, Any] = {key: value for key, value in inputs.items() if key in _INPUTS}
    outputs |= {
        "uid": view.ref.uid,
        "state": status.get("printableStatus") or "Pending",
        "conditions": {
            item["type"]: item["status"] for item in status.get("conditions") or () if item["type"] not in _TRANSIENT
        },
        "warning": "",
    }
    if inputs["kind"] == "VirtualMachine":
        addresses = _addresses(document)
        outputs |= {
            "uuid": status.get("uuid") or view.ref.uid,
            "host": status.get("nodeName") or "",
            "macs": {nic["name"]: nic["mac"] for nic in status.get("interfaces") or () if nic.get("name")},
            "addresses": addresses,
            "address": next((item for found in addresses.values() for item in found), ""),
            "drift": list(status.get("drift") or ()),
        }
    elif status.get("path"):
        outputs["path"] = status["path"]
    return outputs


def _addresses(document: Any) -> dict[str, list[str]]:
    nics = (document.get("status") or {}).get("interfaces") or ()
    found = {nic["name"]: [item["address"] for item in nic.get("addresses") or ()] for nic in nics if nic.get("name")}
    return {name: items for name, items in found.items() if items}


def sentence(error: XvirtError) -> str:
    """An error as a program's writer reads it: one sentence with object and remedy."""
    return " ".join(error.message.split())
