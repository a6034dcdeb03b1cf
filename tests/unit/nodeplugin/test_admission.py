"""Tokens, profiles and refused changes: DESIGN section 5, sentence by sentence."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from nodeplugin.admission import check_changes, collect_garbage, resolve_profile, resolve_token
from nodeplugin.plan.place import PoolPlace
from nodeplugin.records import StoredObject
from nodeplugin.store import Tombstone
from xvirt.model.codec import normalise, parse
from xvirt.model.errors import Conflict, Forbidden, Refused
from xvirt.model.exchange import Caller, Impact, Token


def _document(**spec: Any) -> dict[str, Any]:
    base = {"memory": {"size": "64Mi"}, "disks": [{"name": "root", "source": {"size": "1Gi"}}]}
    return normalise(
        {
            "apiVersion": "xvirt.io/v1alpha1",
            "kind": "VirtualMachine",
            "metadata": {"name": "web"},
            "spec": base | spec,
        }
    )


def _stored(generation: int = 5, epoch: int = 2, **spec: Any) -> StoredObject:
    return StoredObject(
        uid="u",
        authority="local",
        kind="VirtualMachine",
        namespace="default",
        name="web",
        document=_document(**spec),
        generation=generation,
        epoch=epoch,
    )


@pytest.mark.parametrize("token", [Token(epoch=1, generation=9), Token(epoch=2, generation=4), Token(epoch=0)])
def test_a_lower_token_is_refused_with_the_stored_values(token: Token) -> None:
    with pytest.raises(Conflict) as caught:
        resolve_token(token, None, _stored(), None, is_same=False)
    assert (caught.value.stored_epoch, caught.value.stored_generation) == (2, 5)


def test_an_equal_token_may_be_repeated() -> None:
    assert resolve_token(Token(epoch=2, generation=5), None, _stored(), None, is_same=True) == (5, 2)


def test_a_higher_epoch_wins_whatever_its_generation() -> None:
    assert resolve_token(Token(epoch=3, generation=1), None, _stored(), None, is_same=False) == (1, 3)


def test_the_node_hands_out_generations_and_keeps_that_of_an_unchanged_document() -> None:
    local = _stored(epoch=0)
    assert resolve_token(Token(), None, local, None, is_same=True) == (5, 0)
    assert resolve_token(Token(), None, local, None, is_same=False) == (6, 0)
    assert resolve_token(Token(), None, None, None, is_same=False) == (1, 0)


def test_compare_and_set_refuses_what_was_changed_meanwhile() -> None:
    with pytest.raises(Conflict, match="generation 5, not 4"):
        resolve_token(Token(if_generation=4), None, _stored(epoch=0), None, is_same=False)


def test_a_late_apply_does_not_bring_back_what_was_deleted() -> None:
    gone = Tombstone("local", 2, 5)
    with pytest.raises(Conflict):
        resolve_token(Token(epoch=2, generation=4), None, None, gone, is_same=False)


def test_a_profile_must_be_granted() -> None:
    caller = Caller(name="c", authorities=("local",), namespaces=("*",), profiles=("restricted", "baseline"))
    assert resolve_profile(caller, "") == "baseline"
    assert resolve_profile(caller, "restricted") == "restricted"
    with pytest.raises(Forbidden, match="privileged"):
        resolve_profile(caller, "privileged")


def test_a_live_change_is_told_and_a_fixed_one_refused() -> None:
    (change,) = check_changes("VirtualMachine", _stored(), _document(cpu={"cores": 2}))
    assert (change.path, change.impact) == ("spec.cpu.cores", Impact.LIVE)
    disks = [{"name": "root", "source": {"size": "1Gi"}, "format": "raw"}]
    with pytest.raises(Refused, match=r"spec.disks\[root\].format"):
        check_changes("VirtualMachine", _stored(), _document(disks=disks))


def test_row_42_a_disk_never_shrinks_but_grows() -> None:
    small = [{"name": "root", "source": {"size": "512Mi"}}]
    with pytest.raises(Refused, match="cannot shrink from 1Gi to 512Mi"):
        check_changes("VirtualMachine", _stored(), _document(disks=small))
    large = [{"name": "root", "source": {"size": "2Gi"}}]
    assert check_changes("VirtualMachine", _stored(), _document(disks=large))[0].impact is Impact.LIVE


def test_only_removed_disks_with_policy_delete_become_garbage_and_return_from_it() -> None:
    doomed = {"name": "tmp", "source": {"size": "1Mi"}, "deletionPolicy": "Delete"}
    kept = {"name": "root", "source": {"size": "1Gi"}}
    pools = {"default": PoolPlace("/pool")}
    old = _stored(disks=[kept, doomed])
    garbage = collect_garbage(old, parse(_document(disks=[])), pools)
    assert garbage == (("/pool/default_web_tmp.qcow2", "qcow2"),)
    later = dataclasses.replace(old, run=dataclasses.replace(old.run, garbage=garbage), document=_document(disks=[]))
    assert collect_garbage(later, parse(_document(disks=[])), pools) == garbage
    assert collect_garbage(later, parse(_document(disks=[doomed])), pools) == ()
