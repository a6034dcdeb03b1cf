"""Who is let in: the API server alone, and whom it names, with the rights that it knows of."""

from __future__ import annotations

import http.client
import shutil
import ssl
from typing import Any

import pytest

from tests.fakes.apifaults import Refusal
from tests.unit.gateway.cluster import WAIT_S, LiveCluster
from tools.cluster.pki import FRONT_PROXY, Identity, issue, make_pki
from xvirt.gateway import listener, server
from xvirt.gateway.authentication import User, authenticate, read_front_proxy
from xvirt.model.errors import Unavailable
from xvirt.operator.runtime.resources import CONFIG_MAPS, Key

TRUST = Key("kube-system", "extension-apiserver-authentication")
SPOOFED = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}


def certificate(*names: str) -> dict[str, Any]:
    """As `ssl` tells a verified one."""
    return {"subject": tuple((("commonName", name),) for name in names)}


def exchange_trust(cluster: LiveCluster, **changes: str) -> None:
    """Change what the API server says of itself, and have it read."""
    found = cluster.api.find(CONFIG_MAPS, TRUST)
    assert found is not None
    cluster.api.write(CONFIG_MAPS, {**found, "data": {**found["data"], **changes}})
    assert cluster.run(cluster.trust.reread())


def test_row_87_who_shows_no_certificate_is_refused_whatever_its_headers_say(cluster: LiveCluster) -> None:
    cluster.grant("admin", "start")
    reply = cluster.act("start", certificate="", user="", headers=SPOOFED)
    assert (reply.code, reply.json["reason"]) == (401, "Unauthorized")
    assert "no client certificate" in reply.json["message"]
    assert cluster.reviewing.reviews == []


def test_row_87_a_certificate_of_another_ca_is_not_even_let_in(cluster: LiveCluster) -> None:
    with pytest.raises((ssl.SSLError, OSError)):
        cluster.act("start", certificate="admin", user="", headers=SPOOFED)


def test_row_87_a_certificate_with_another_name_may_not_speak_for_users(cluster: LiveCluster) -> None:
    issue(cluster.pki, "impostor", FRONT_PROXY, Identity("impostor"))
    reply = cluster.act("start", certificate="impostor", user="", headers=SPOOFED)
    assert (reply.code, reply.json["reason"]) == (401, "Unauthorized")
    assert "common name impostor may not speak for users" in reply.json["message"]


def test_the_api_server_must_name_a_user(cluster: LiveCluster) -> None:
    assert cluster.act("start", user="").code == 401


def test_row_87_who_may_not_is_forbidden_by_name_and_verb(cluster: LiveCluster) -> None:
    cluster.declare(is_on_node=False)
    cluster.grant("ann", "stop")
    reply = cluster.act("start")
    assert (reply.code, reply.json["reason"]) == (403, "Forbidden")
    assert reply.json["message"] == (
        "virtualmachines.subresources.xvirt.io 'web' is forbidden: User 'ann' cannot update resource"
        ' "virtualmachines/start" in API group "subresources.xvirt.io" in the namespace "default"'
    )


def test_rights_are_asked_for_with_everything_that_the_api_server_says_of_the_user(cluster: LiveCluster) -> None:
    headers = {"X-Remote-Uid": "u-1", "X-Remote-Extra-Example.org%2fScopes": "read", "x-remote-group": "dev"}
    cluster.act("start", headers=headers)
    (review,) = cluster.reviewing.reviews
    assert review["spec"] == {
        "user": "ann",
        "uid": "u-1",
        "groups": ["dev"],
        "extra": {"example.org/scopes": ["read"]},
        "resourceAttributes": {
            "namespace": "default",
            "verb": "update",
            "group": "subresources.xvirt.io",
            "version": "v1alpha1",
            "resource": "virtualmachines",
            "subresource": "start",
            "name": "web",
        },
    }


def test_a_review_that_is_not_answered_lets_nobody_in(cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.reviewing, "send", cluster.reviewing.server.send)
    cluster.api.faults.refuse_with(Refusal(500, "InternalError", "no"), "POST", "subjectaccessreviews")
    reply = cluster.act("start")
    assert (reply.code, reply.json["reason"]) == (503, "ApiServerUnreachable")


@pytest.mark.parametrize(
    "path",
    [
        "/apis/subresources.xvirt.io/v1alpha1/namespaces/default/virtualmachines/web/start/",
        "/apis/subresources.xvirt.io/v1alpha1/namespaces/default//virtualmachines/web/start",
        "/apis/subresources.xvirt.io/v1alpha1/namespaces/default/virtualmachines/web/../db/start",
        "/apis/subresources.xvirt.io/v1alpha1/namespaces/default/virtualmachines/w%65b/start",
        "/apis/subresources.xvirt.io/v1alpha1/namespaces/default/virtualmachines/web%2Fstart",
        "/apis/subresources.xvirt.io/v1alpha1/namespaces/Default/virtualmachines/web/start",
        "/apis/subresources.xvirt.io/v1alpha1/namespaces/default/virtualmachines/web/erase",
        "/apis/subresources.xvirt.io/v1alpha1/namespaces/default/virtualmachines/web",
        "/apis/subresources.xvirt.io/v1/namespaces/default/virtualmachines/web/start",
        "/apis/subresources.xvirt.io/v1alpha1/namespaces/default/virtualmachines/" + "a" * 64 + "/start",
        "/openapi/v2",
        "/openapi/v3",
        "/",
    ],
)
def test_an_odd_path_is_not_found_and_never_made_to_fit(cluster: LiveCluster, path: str) -> None:
    cluster.grant("ann", "start", "erase")
    reply = cluster.ask("PUT", path)
    assert (reply.code, reply.json["reason"]) == (404, "NotFound")
    assert cluster.reviewing.reviews == []


def test_a_method_that_means_nothing_is_told_which_do(cluster: LiveCluster) -> None:
    reply = cluster.act("start", method="DELETE")
    assert (reply.code, reply.json["reason"], reply.headers["allow"]) == (405, "MethodNotAllowed", "PUT, POST")
    assert cluster.act("description").code == 405
    assert cluster.ask("POST", "/apis").code == 405


def test_probes_need_no_certificate_and_learn_nothing_else(cluster: LiveCluster) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        reply = cluster.ask("GET", path, certificate="", user="")
        assert (reply.code, reply.body) == (200, b"ok")


def test_more_requests_than_it_answers_at_once_are_told_to_come_back(
    cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUESTS_MAX", 0)
    reply = cluster.act("start")
    assert (reply.code, reply.json["reason"]) == (429, "TooManyRequests")


def test_a_connection_that_says_nothing_is_closed(cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "FIRST_REQUEST_TIMEOUT_S", 0.05)
    connection = http.client.HTTPSConnection("localhost", cluster.port, context=cluster.context(), timeout=WAIT_S)
    connection.connect()
    with pytest.raises(OSError, match=r"."):
        raise OSError("closed") if connection.sock.recv(1) == b"" else AssertionError


# what is believed, exchanged while serving


def test_another_front_proxy_name_is_believed_from_the_next_request_on(cluster: LiveCluster) -> None:
    cluster.grant("ann", "start")
    exchange_trust(cluster, **{"requestheader-allowed-names": '["another"]'})
    assert cluster.act("start").code == 401
    exchange_trust(cluster, **{"requestheader-allowed-names": "[]"})
    assert cluster.act("start").code == 404


def test_a_new_ca_of_the_api_server_is_believed_and_the_old_one_no_more(cluster: LiveCluster) -> None:
    cluster.grant("ann", "start")
    other = cluster.directory / "other"
    make_pki(other)
    for suffix in ("crt", "key"):
        shutil.copy(other / f"front-proxy-client.{suffix}", cluster.pki / f"renewed.{suffix}")
    with pytest.raises((ssl.SSLError, OSError)):
        cluster.act("start", certificate="renewed")
    exchange_trust(cluster, **{"requestheader-client-ca-file": (other / "front-proxy-ca.crt").read_text()})
    assert cluster.act("start", certificate="renewed").code == 404
    with pytest.raises((ssl.SSLError, OSError)):
        cluster.act("start")


def test_a_ca_that_is_none_leaves_the_last_one_in_force(cluster: LiveCluster) -> None:
    exchange_trust(cluster, **{"requestheader-client-ca-file": "-----BEGIN nothing"})
    assert cluster.act("start").code == 403


def test_what_cannot_be_read_leaves_the_last_in_force(cluster: LiveCluster) -> None:
    cluster.api.remove(CONFIG_MAPS, TRUST)
    assert not cluster.run(cluster.trust.reread())
    assert cluster.act("start").code == 403


def test_a_renewed_serving_certificate_is_shown_to_the_next_connection(cluster: LiveCluster) -> None:
    def shown() -> bytes | None:
        connection = http.client.HTTPSConnection("localhost", cluster.port, context=cluster.context(), timeout=WAIT_S)
        connection.connect()
        try:
            return connection.sock.getpeercert(binary_form=True)
        finally:
            connection.close()

    before = shown()
    assert shown() == before
    issue(cluster.pki, "gateway", "ca", Identity("xvirt-gateway"), ("localhost", "127.0.0.1"))
    assert shown() != before


# pure


def test_names_and_headers_are_read_as_the_api_server_publishes_them() -> None:
    data = {
        "requestheader-client-ca-file": "PEM",
        "requestheader-username-headers": '["X-User", "X-Remote-User"]',
        "requestheader-group-headers": '["X-Group", "X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Extra-"]',
    }
    proxy = read_front_proxy({"data": data})
    headers = [
        ("x-remote-user", "ann"),
        ("X-REMOTE-GROUP", "b"),
        ("x-group", "a"),
        ("X-Extra-A", "1"),
        ("X-Extra-A", "2"),
    ]
    assert authenticate(proxy, certificate("anyone"), headers) == User("ann", "", ("a", "b"), {"a": ("1", "2")})


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"requestheader-client-ca-file": "PEM"},
        {"requestheader-client-ca-file": "PEM", "requestheader-username-headers": "X-Remote-User"},
        {"requestheader-client-ca-file": "PEM", "requestheader-username-headers": "[1]"},
    ],
)
def test_an_api_server_that_does_not_aggregate_is_told_so(data: dict[str, str]) -> None:
    with pytest.raises(Unavailable, match="extension-apiserver-authentication"):
        read_front_proxy({"data": data})
