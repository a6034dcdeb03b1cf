"""Who may do what, asked of the API server by SubjectAccessReview."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.cluster.deployment import PROFILE_LABEL, namespace
from tests.cluster.kubectl import Kubectl
from tools.cluster.api import Api, ApiRefused, Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.pki import Identity
from tools.cluster.services import wait_for
from xvirt.model.exchange import Verb

KINDS = ("virtualmachines", "virtualdisks", "virtualimages", "virtualnetworks")
HOST_KINDS = ("virtualhosts", "storagepools")
ACTS = tuple(verb.value for verb in Verb)
CONSOLES = ("console", "vnc")
READ, WRITE = ("get", "list", "watch"), ("create", "update", "patch", "delete")
ROLES = ("view", "edit", "admin")
PEOPLE = {f"{role}er": role for role in ROLES} | {f"xvirt-{role}er": f"xvirt-{role}" for role in ROLES}
"""User -> ClusterRole that is bound to him in namespace `red`: Kubernetes' own, and ours by themselves."""
GATEWAY = "system:serviceaccount:xvirt-system:xvirt-gateway"
OPERATOR = "system:serviceaccount:xvirt-system:xvirt-operator"
_TIMEOUT_S = 60.0
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def api(installed: ControlPlane) -> Api:
    """With a namespace of each of two teams, and people in the first."""
    found = installed.api
    for name in ("red", "blue"):
        found.create(namespace(name))
    for user, role in PEOPLE.items():
        found.create(binding("RoleBinding", user, role, {"namespace": "red"}))
    for user, role in (("cordoner", "xvirt-hosts-admin"), ("onlooker", "xvirt-hosts-view")):
        found.create(binding("ClusterRoleBinding", user, role, {}))
    last = partial(may, found, "onlooker", "get", "virtualhosts")
    wait_for(last, _TIMEOUT_S, "the API server to know the bindings")
    wait_for(partial(may, found, "adminer", "deletecollection", KINDS[0], "red"), _TIMEOUT_S, "roles to be aggregated")
    return found


def binding(kind: str, user: str, role: str, place: dict[str, str]) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": f"{user}-{role}", **place},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def may(
    api: Api, user: str, verb: str, resource: str, place: str = "", group: str = "xvirt.io", name: str = ""
) -> bool:
    """Whether the API server would let a user; `resource` may name a subresource after a slash."""
    bare, _, subresource = resource.partition("/")
    asked = {
        "verb": verb,
        "group": group,
        "resource": bare,
        "subresource": subresource,
        "namespace": place,
        "name": name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": {key: value for key, value in asked.items() if value}},
    }
    answer = api.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def operations() -> Iterator[tuple[str, str, str]]:
    """(verb, resource, group) of everything that acts upon a running machine."""
    yield from (
        (verb, f"virtualmachines/{act}", "subresources.xvirt.io") for act in ACTS for verb in ("update", "create")
    )
    yield from (
        (verb, f"virtualmachines/{console}", "subresources.xvirt.io")
        for console in CONSOLES
        for verb in ("get", "create")
    )


@pytest.mark.parametrize("user", PEOPLE)
def test_row_87_everybody_in_a_namespace_reads_what_is_declared_there(api: Api, user: str) -> None:
    assert all(may(api, user, verb, kind, "red") for verb in READ for kind in KINDS)
    assert may(api, user, "get", "virtualmachines/description", "red", "subresources.xvirt.io")


@pytest.mark.parametrize("user", ["viewer", "xvirt-viewer"])
def test_row_87_view_can_neither_change_nor_operate_nor_open_a_console(api: Api, user: str) -> None:
    assert not any(may(api, user, verb, kind, "red") for verb in (*WRITE, "deletecollection") for kind in KINDS)
    assert not any(may(api, user, verb, resource, "red", group) for verb, resource, group in operations())


@pytest.mark.parametrize("user", [user for user in PEOPLE if "view" not in user])
def test_row_87_edit_and_admin_change_operate_and_open_consoles(api: Api, user: str) -> None:
    assert all(may(api, user, verb, kind, "red") for verb in WRITE for kind in KINDS)
    assert all(may(api, user, verb, resource, "red", group) for verb, resource, group in operations())


def test_only_admin_deletes_all_at_once(api: Api) -> None:
    able = {user for user in PEOPLE if may(api, user, "deletecollection", "virtualmachines", "red")}
    assert able == {"adminer", "xvirt-adminer"}


@pytest.mark.parametrize("user", PEOPLE)
def test_row_87_nobody_of_one_namespace_sees_or_operates_anothers(api: Api, user: str) -> None:
    for place in ("blue", ""):
        assert not any(may(api, user, verb, kind, place) for verb in (*READ, *WRITE) for kind in KINDS)
        assert not any(may(api, user, verb, resource, place, group) for verb, resource, group in operations())


@pytest.mark.parametrize("user", PEOPLE)
def test_nobody_of_a_namespace_writes_status_hosts_or_pools_or_grants_profiles(api: Api, user: str) -> None:
    assert not any(may(api, user, verb, f"{kind}/status", "red") for verb in ("update", "patch") for kind in KINDS)
    assert not any(may(api, user, verb, kind) for verb in (*READ, *WRITE) for kind in HOST_KINDS)
    assert not may(api, user, "grant", "policyprofiles", name="privileged")


def test_row_87_verbs_of_subresources_are_granted_one_by_one(api: Api) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "starter", "namespace": "red"},
        "rules": [
            {"apiGroups": ["subresources.xvirt.io"], "resources": ["virtualmachines/start"], "verbs": ["update"]},
        ],
    }
    api.create(role)
    bound = binding("RoleBinding", "night-shift", "starter", {"namespace": "red"})
    bound["roleRef"]["kind"] = "Role"
    api.create(bound)
    known = partial(may, api, "night-shift", "update", "virtualmachines/start", "red", "subresources.xvirt.io")
    wait_for(known, _TIMEOUT_S, "the API server to know the binding")
    able = {resource for verb, resource, group in operations() if may(api, "night-shift", verb, resource, "red", group)}
    assert able == {"virtualmachines/start"}
    assert not may(api, "night-shift", "get", "virtualmachines", "red")


def test_hosts_and_pools_have_roles_of_their_own(api: Api) -> None:
    assert all(may(api, "cordoner", verb, kind) for verb in (*READ, *WRITE) for kind in HOST_KINDS)
    assert all(may(api, "onlooker", verb, kind) for verb in READ for kind in HOST_KINDS)
    assert not any(may(api, "onlooker", verb, kind) for verb in WRITE for kind in HOST_KINDS)
    assert not any(may(api, user, "get", "virtualmachines", "red") for user in ("cordoner", "onlooker"))


def test_a_namespaced_user_sees_only_his_own_through_kubectl(api: Api, installed: ControlPlane) -> None:
    own = installed.kubeconfig_for("editer", Identity("editer"))
    assert Kubectl(own, "red")("get", "vm").returncode == 0
    told = Kubectl(own, "blue")("get", "vm", check=False)
    assert 'cannot list resource "virtualmachines" in API group "xvirt.io" in the namespace "blue"' in told.stderr
    everywhere = Kubectl(own, "red")("get", "vm", "-A", check=False)
    assert "at the cluster scope" in everywhere.stderr


# Who may set a namespace's policy profile


@pytest.fixture
def tenant(api: Api, installed: ControlPlane) -> Any:
    """Somebody who may change namespaces, as some tools let tenants, and grant no profile."""
    if api.find(cluster_role("namespace-owner")) is None:
        api.create(cluster_role("namespace-owner"))
        for user in ("tenant", "policy-admin"):
            api.create(binding("ClusterRoleBinding", user, "namespace-owner", {}))
        api.create(binding("ClusterRoleBinding", "policy-admin", "xvirt-policy-admin", {}))
        granted = partial(may, api, "policy-admin", "grant", "policyprofiles", name="privileged")
        wait_for(granted, _TIMEOUT_S, "the API server to know the binding")
    return Api(installed.kubeconfig_for("tenant", Identity("tenant")))


@pytest.fixture
def policy_admin(tenant: Api, installed: ControlPlane) -> Api:
    return Api(installed.kubeconfig_for("policy-admin", Identity("policy-admin")))


def cluster_role(name: str) -> Json:
    rules = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "create", "update", "patch"]}]
    document = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
    return document | {"rules": rules}


def labelled(profile: str | None) -> Json:
    return {"metadata": {"labels": {PROFILE_LABEL: profile}}}


@pytest.mark.parametrize("profile", ["baseline", "privileged"])
def test_row_73_who_may_change_a_namespace_cannot_raise_its_profile(tenant: Api, profile: str) -> None:
    place = namespace(f"tenants-{next(_numbers)}")
    tenant.create(place)
    born = namespace("born-with-it", {PROFILE_LABEL: profile})
    for attempt in (partial(tenant.merge, place, labelled(profile)), partial(tenant.create, born)):
        with pytest.raises(ApiRefused) as caught:
            attempt()
        assert caught.value.reason == "Forbidden"
        assert f"policy profile {profile} may be set only by who may grant it" in str(caught.value)


def test_row_73_who_may_grant_a_profile_sets_it_and_the_owner_may_ask_for_less(tenant: Api, policy_admin: Api) -> None:
    place = namespace(f"tenants-{next(_numbers)}")
    tenant.create(place)
    policy_admin.merge(place, labelled("privileged"))
    tenant.merge(place, {"metadata": {"labels": {"team": "red"}}})
    tenant.merge(place, labelled("restricted"))
    tenant.merge(place, labelled(None))
    with pytest.raises(ApiRefused):
        tenant.merge(place, labelled("privileged"))


def test_a_word_that_is_no_profile_is_refused_of_everybody(api: Api, tenant: Api) -> None:
    with pytest.raises(ApiRefused) as caught:
        api.create(namespace("misspelt", {PROFILE_LABEL: "privilegd"}))
    assert "must be restricted, baseline or privileged" in str(caught.value)


# The operator, the gateway and the nodes


def test_the_operator_can_neither_declare_nor_delete_nor_raise_itself(api: Api) -> None:
    declared = (*KINDS, "storagepools")
    assert not any(
        may(api, OPERATOR, verb, kind, "red") for verb in ("create", "update", "delete") for kind in declared
    )
    assert not any(may(api, OPERATOR, "list", "secrets", place, "") for place in ("red", "xvirt-system", ""))
    assert not any(may(api, OPERATOR, verb, "secrets", "red", "") for verb in ("create", "update", "patch", "delete"))
    for resource in ("roles", "rolebindings", "clusterroles", "clusterrolebindings"):
        assert not any(
            may(api, OPERATOR, verb, resource, "", "rbac.authorization.k8s.io") for verb in ("create", "bind")
        )
    assert not may(api, OPERATOR, "create", "pods/exec", "red", "")
    assert not may(api, OPERATOR, "create", "serviceaccounts/token", "red", "")
    assert not may(api, OPERATOR, "impersonate", "users", "", "")
    assert not may(api, OPERATOR, "patch", "nodes", "", "")
    assert not may(api, OPERATOR, "grant", "policyprofiles", name="privileged")
    assert not any(may(api, OPERATOR, verb, resource, "red", group) for verb, resource, group in operations())


def test_the_operators_lease_is_the_only_one_that_it_may_change(api: Api) -> None:
    def leases(verb: str, place: str, name: str) -> bool:
        return may(api, OPERATOR, verb, "leases", place, "coordination.k8s.io", name)

    assert leases("update", "xvirt-system", "xvirt-operator")
    assert not leases("update", "xvirt-system", "other")
    assert not leases("update", "kube-system", "kube-scheduler")
    assert not leases("create", "kube-system", "")


def test_the_gateway_reads_where_machines_are_by_name_and_asks_for_others_rights(api: Api) -> None:
    assert may(api, GATEWAY, "get", "virtualmachines", "red")
    assert not may(api, GATEWAY, "get", "nodes", "", "")
    assert may(api, GATEWAY, "get", "namespaces", "", "", "kube-system")
    assert may(api, GATEWAY, "get", "leases", "xvirt-system", "coordination.k8s.io", "xvirt-operator")
    assert may(api, GATEWAY, "create", "subjectaccessreviews", "", "authorization.k8s.io")
    assert may(api, GATEWAY, "get", "configmaps", "kube-system", "", "extension-apiserver-authentication")
    assert not any(may(api, GATEWAY, verb, kind, "red") for verb in (*WRITE, "list") for kind in KINDS)
    assert not any(may(api, GATEWAY, "get", resource, "red", "") for resource in ("secrets", "pods"))


def test_a_node_plugins_account_may_do_nothing_but_what_every_account_may(api: Api) -> None:
    user = "system:serviceaccount:xvirt-nodes:xvirt-node"
    for kind in (*KINDS, *HOST_KINDS):
        assert not any(may(api, user, verb, kind, "red") for verb in (*READ, *WRITE))
    assert not any(
        may(api, user, "get", resource, "red", "") for resource in ("secrets", "pods", "nodes", "configmaps")
    )
