"""A cluster in one process: the API server in memory, a node behind real mutual TLS over a hypervisor in memory, and the gateway between."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import json
import ssl
import threading
import urllib.parse
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from nodeplugin.server import NodeServer
from nodeplugin.server_options import ServerOptions
from tests.fakes.apihttp import serve
from tests.fakes.apiserver import FakeApiServer
from tests.unit.cli.live_node import LiveNode, eventually
from tests.unit.nodeplugin.world import CALLER
from tools.cluster.pki import Identity, issue, make_pki
from xvirt.client.pki import init_pki
from xvirt.gateway.authorization import REVIEWS, authorize
from xvirt.gateway.listener import listen
from xvirt.gateway.machines import Machines
from xvirt.gateway.metrics import GatewayMetrics
from xvirt.gateway.nodes import NodeClients, tls_opener
from xvirt.gateway.server import Doors, Gateway
from xvirt.gateway.subresources import Acts
from xvirt.gateway.tls import Listening
from xvirt.gateway.trust import Trust, fetch_front_proxy
from xvirt.model.exchange import ApplyCall, Caller, ObjectRef, Token
from xvirt.operator.kinds import VIRTUAL_HOSTS, VIRTUAL_MACHINES
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.clock import SystemClock
from xvirt.operator.runtime.resources import CONFIG_MAPS, LEASES, NAMESPACES, Key, Object
from xvirt.operator.runtime.transport import Answer, Request, Stream
from xvirt.wire.certificates import TlsFiles

HOST = "node-a"
LEASE = Key("xvirt-system", "xvirt-operator")
EPOCH = 3
WAIT_S = 30.0
SPEC = {"cpu": {"cores": 1, "max": 2}, "memory": {"size": "64Mi", "max": 128 << 20}}


class ReviewingServer:
    """The API server in memory, which answers SubjectAccessReviews from a set of rights: (user, verb, subresource)."""

    def __init__(self, server: FakeApiServer) -> None:
        self.server = server
        self.rights: set[tuple[str, str, str]] = set()
        self.reviews: list[Object] = []

    async def send(self, request: Request) -> Answer:
        """Transport's."""
        if request.path != REVIEWS.path():
            return await self.server.send(request)
        document = json.loads(request.body or b"{}")
        self.reviews.append(document)
        spec = document["spec"]
        asked = (spec["user"], spec["resourceAttributes"]["verb"], spec["resourceAttributes"]["subresource"])
        document["status"] = {"allowed": asked in self.rights}
        return Answer(201, {}, json.dumps(document).encode())

    def stream(self, request: Request) -> contextlib.AbstractAsyncContextManager[Stream]:
        return self.server.stream(request)

    async def close(self) -> None:
        await self.server.close()


class AggregatingServer:
    """The API server in memory, which passes on what is the gateway's, in the name of `user`. What it may not is for its tests to say."""

    def __init__(self, cluster: LiveCluster) -> None:
        self._cluster = cluster
        self.user = "ann"
        self.is_registered = True

    async def send(self, request: Request) -> Answer:
        """Transport's."""
        if not request.path.startswith("/apis/subresources.xvirt.io/") or not self.is_registered:
            return await self._cluster.api.send(request)
        query = f"?{urllib.parse.urlencode(request.query)}" if request.query else ""
        reply = await asyncio.to_thread(
            self._cluster.ask, request.method, request.path + query, request.body or None, user=self.user
        )
        return Answer(reply.code, reply.headers, reply.body)

    def stream(self, request: Request) -> contextlib.AbstractAsyncContextManager[Stream]:
        """Transport's."""
        return self._cluster.api.stream(request)


class ClusterNode(LiveNode):
    """A node that serves one cluster, over mutual TLS."""

    def __init__(self, directory: Path, authority: str, pki: Path) -> None:
        self.authorities = (authority,)
        self._pki = pki
        self.port = 0
        super().__init__(directory)

    def _serve(self) -> None:
        rights: dict[str, Any] = {"namespaces": ("*",), "profiles": CALLER.profiles}
        names = ("xvirt-gateway", "xvirt-operator")
        options = ServerOptions(
            unix_socket=self.socket,
            local_caller=self.caller,
            listen=f"127.0.0.1:{self.port}",
            tls=tls_files(self._pki, HOST),
            callers={name: Caller(name=name, authorities=self.authorities, **rights) for name in names},
        )
        self.server = NodeServer(self.service, options)
        self.server.start()
        self.port = self.server.tcp_port

    @property
    def caller(self) -> Caller:
        """The operator, without a certificate."""
        return dataclasses.replace(CALLER, authorities=self.authorities)

    def take(self, document: Object, epoch: int = EPOCH) -> None:
        """Store what the operator would give it, and wait until it is so."""
        token = Token(authority=self.authorities[0], epoch=epoch, generation=document["metadata"]["generation"])
        kept = {**document, "metadata": {k: document["metadata"][k] for k in ("name", "namespace", "uid")}}
        kept.pop("status", None)
        self.service.apply(self.caller, ApplyCall(document=kept, token=token))
        uid = document["metadata"]["uid"]
        eventually(lambda: self.ready(uid))

    def ready(self, uid: str) -> bool:
        """Whether an object is Ready."""
        status = self.service.get(self.caller, ObjectRef(uid=uid)).document.get("status") or {}
        return any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions", ()))

    def state(self, uid: str) -> str:
        """The power state of a machine."""
        status = self.service.get(self.caller, ObjectRef(uid=uid)).document.get("status") or {}
        return str(status.get("powerState", ""))


def tls_files(pki: Path, name: str) -> TlsFiles:
    """Of an end, signed by the hosts' CA."""
    return TlsFiles(pki / "ca.crt", pki / f"{name}.crt", pki / f"{name}.key")


@dataclasses.dataclass(frozen=True)
class Reply:
    """One answer of the gateway."""

    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class LiveCluster:
    """All of it. Methods are called by the test's thread; the gateway and the API server live in an event loop of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pki, self.node_pki = directory / "pki", directory / "node-pki"
        make_pki(self.pki)
        issue(self.pki, "gateway", "ca", Identity("xvirt-gateway"), ("localhost", "127.0.0.1"))
        init_pki(self.node_pki, [HOST], ["xvirt-gateway", "stranger"])
        self.api = FakeApiServer(SystemClock())
        self.reviewing = ReviewingServer(self.api)
        self._populate()
        (directory / "node").mkdir()
        self.node = ClusterNode(directory / "node", self.uid_of(NAMESPACES, Key("", "kube-system")), self.node_pki)
        self.client_files = tls_files(self.node_pki, "xvirt-gateway")
        self.port = 0
        self.server = AggregatingServer(self)
        self.url = ""
        self.registry = CollectorRegistry()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)
        self._started = threading.Event()

    def _populate(self) -> None:
        data = {
            "requestheader-client-ca-file": (self.pki / "front-proxy-ca.crt").read_text(),
            "requestheader-allowed-names": '["front-proxy-client"]',
            "requestheader-username-headers": '["X-Remote-User"]',
            "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        }
        name = {"namespace": "kube-system", "name": "extension-apiserver-authentication"}
        self.api.write(NAMESPACES, {"metadata": {"name": "kube-system"}})
        self.api.write(CONFIG_MAPS, {"metadata": name, "data": data})
        lease = {"metadata": {"namespace": LEASE.namespace, "name": LEASE.name}}
        self.api.write(LEASES, {**lease, "spec": {"leaseTransitions": EPOCH, "holderIdentity": "operator-1"}})

    def uid_of(self, resource: Any, key: Key) -> str:
        """The uid of an object."""
        found = self.api.find(resource, key)
        assert found is not None
        return str(found["metadata"]["uid"])

    # machines

    def declare(self, name: str = "web", *, host: str = HOST, is_on_node: bool = True, **spec: Any) -> str:
        """A machine of the cluster, placed on a host, and there; its uid."""
        document = {"metadata": {"namespace": "default", "name": name}, "spec": {**SPEC, **spec}}
        made = self.api.write(VIRTUAL_MACHINES, document)
        if host:
            self.api.write(VIRTUAL_MACHINES, {**made, "status": {"nodeName": host}}, "status")
        if is_on_node:
            self.node.take(made)
        return str(made["metadata"]["uid"])

    def declare_host(self, name: str = HOST, address: str = "") -> None:
        """A VirtualHost with the node's address, or another."""
        spec = {"address": address or f"127.0.0.1:{self.node.port}"}
        self.api.write(VIRTUAL_HOSTS, {"metadata": {"name": name}, "spec": spec})

    def grant(self, user: str, *subresources: str, verb: str = "update") -> None:
        """Rights, as RBAC would give them."""
        self.reviewing.rights |= {(user, verb, name) for name in subresources}

    # requests

    def context(self, certificate: str = "front-proxy-client") -> ssl.SSLContext:
        """TLS of a caller; of one without a certificate where the name is empty."""
        made = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        if certificate:
            made.load_cert_chain(self.pki / f"{certificate}.crt", self.pki / f"{certificate}.key")
        return made

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = "ann",
        headers: Mapping[str, str] | None = None,
        certificate: str = "front-proxy-client",
    ) -> Reply:
        """One request, as the API server would pass it on."""
        connection = http.client.HTTPSConnection(
            "localhost", self.port, context=self.context(certificate), timeout=WAIT_S
        )
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"X-Remote-User": user} if user else {}
        sent |= {"Content-Type": "application/json"} if data is not None else {}
        try:
            connection.request(method, path, data, {**sent, **(headers or {})})
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def act(self, verb: str, name: str = "web", body: Any = None, **options: Any) -> Reply:
        """PUT an act upon a machine of namespace default."""
        path = f"/apis/subresources.xvirt.io/v1alpha1/namespaces/default/virtualmachines/{name}/{verb}"
        return self.ask(options.pop("method", "PUT"), path, body, **options)

    # life

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something in the cluster's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    def _run(self) -> None:
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        async with self.serving():
            self._started.set()
            await self._stop.wait()
            self.api.faults.end_watches()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """The gateway, as `xvirt.gateway.main` puts it together."""
        client = ApiClient(self.reviewing, manager="xvirt-gateway")
        found = await fetch_front_proxy(client)
        self.listening = Listening(self.pki / "gateway.crt", self.pki / "gateway.key", found.ca)
        self.trust = Trust(client, found, lambda proxy: self.listening.trust(proxy.ca))
        nodes = NodeClients(tls_opener(self.client_files))
        doors = Doors(
            front_proxy=lambda: self.trust.front_proxy,
            authorize=lambda user, target, verbs: authorize(client, user, target, verbs),
            why_not_ready=lambda: "",
        )
        gateway = Gateway(doors, Acts(Machines(client, LEASE), nodes).table(), GatewayMetrics(self.registry))
        async with listen("127.0.0.1:0", gateway.serve, self.listening) as self.port, serve(self.server) as self.url:
            yield
        await nodes.close()

    @contextlib.contextmanager
    def up(self) -> Iterator[LiveCluster]:
        """Everything runs while the block does."""
        self.node.start()
        self.declare_host()
        self._thread.start()
        assert self._started.wait(WAIT_S)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(WAIT_S)
            self._loop.close()
            self.node.stop()
