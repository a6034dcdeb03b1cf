"""Images on a whole node: declared, watched, used, deleted, uploaded by the command line."""

from __future__ import annotations

import dataclasses
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeplugin.images.limits import DEFAULT_LIMITS
from nodeplugin.images.policy import ImagePolicy
from nodeplugin.uploading import open_upload
from tests.unit.nodeplugin.images.conftest import WAIT_S, checksum
from tests.unit.nodeplugin.images.node import ImageNode
from tests.unit.nodeplugin.images.server import FaultServer, Reply
from tools.lab.processes import wait_until
from xvirt.cli.main import main
from xvirt.client import calls
from xvirt.client.blocking import Stream
from xvirt.client.images import ImageFile, upload_image
from xvirt.model.errors import Forbidden, NotFound, PolicyRefused, Refused, XvirtError
from xvirt.model.exchange import Caller, ObjectRef
from xvirt.model.quantity import ByteSize
from xvirt.nodeapi.v1 import image_pb2 as pb

Serve = Callable[..., FaultServer]


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A qcow2 image of 64 MiB."""
    path = tmp_path / "made.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "64M"], check=True)
    return path.read_bytes()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ImageNode]:
    directory = tmp_path / "node"
    directory.mkdir()
    made = ImageNode(directory)
    yield made
    made.halt()


def _image(url: str, **fields: object) -> dict[str, object]:
    return {"source": {"url": url}, **fields}


def test_row_23_49_one_download_makes_linked_and_full_disks_and_goes_after_the_last(
    node: ImageNode, serve: Serve, content: bytes
) -> None:
    server = serve(Reply(stall_after=1000), Reply())
    image = node.apply("VirtualImage", "guest", _image(server.url, checksum=checksum(content)))
    linked = node.apply("VirtualDisk", "linked", {"source": {"image": "guest", "copy": "Linked"}})
    full = node.apply("VirtualDisk", "full", {"source": {"image": "guest", "copy": "Full"}})
    node.wait(image, "Reconciling", "True", "Downloading")
    node.wait(linked, "Ready", "False", "ImageNotReady")
    server.released.set()
    assert node.wait(image)["checksum"] == checksum(content)
    assert node.wait(linked)["size"] == node.wait(full)["size"] == "64Mi"
    assert len(server.ranges) == 2
    chains = {ref.name: node.volumes.backing_chain(node.status(ref)["path"], "qcow2") for ref in (linked, full)}
    assert (len(chains["linked"]), len(chains["full"])) == (1, 0)
    node.delete(image)
    node.wait(image, "Reconciling", "True", "Terminating")
    assert Path(chains["linked"][0]).exists()
    node.delete(full)
    node.wait_gone(full)
    assert node.condition(image, "Ready") == ("False", "Terminating")
    subprocess.run(["rm", node.status(linked)["path"]], check=True)
    node.converger.enqueue_all()
    node.wait_gone(image)
    assert not Path(chains["linked"][0]).exists()


def test_progress_stands_in_the_status_and_no_worker_waits(node: ImageNode, serve: Serve, content: bytes) -> None:
    servers = [serve(Reply(stall_after=100_000), Reply()) for _ in range(4)]
    images = [
        node.apply("VirtualImage", f"guest-{number}", _image(server.url)) for number, server in enumerate(servers)
    ]
    wait_until(lambda: node.status(images[0]).get("transferred") == "100000", WAIT_S, "bytes in the status")
    status = node.status(images[0])
    assert ByteSize(status["transferSize"]) == len(content)
    assert status["progressPercent"] == 100_000 * 100 // len(content)
    assert node.wait(node.apply("VirtualDisk", "blank", {"size": "1Mi"}))["path"]
    for server in servers:
        server.released.set()
    for image in images:
        done = node.wait(image)
        assert "transferred" not in done
        assert "progressPercent" not in done


def test_a_deleted_image_ends_its_download_and_leaves_nothing(node: ImageNode, serve: Serve) -> None:
    server = serve(Reply(stall_after=1000))
    image = node.apply("VirtualImage", "guest", _image(server.url))
    wait_until(server.stalled.is_set, WAIT_S, "the download to be under way")
    node.delete(image)
    node.wait_gone(image)
    wait_until(lambda: node.files() == [], WAIT_S, "the partial file to go")


def test_a_plugin_that_ends_in_the_middle_goes_on_with_the_file(node: ImageNode, serve: Serve) -> None:
    server = serve(Reply(stall_after=100_000), Reply())
    image = node.apply("VirtualImage", "guest", _image(server.url))
    wait_until(lambda: node.status(image).get("transferred") == "100000", WAIT_S, "bytes in the status")
    node.halt()
    node.boot()
    node.wait(image)
    assert server.ranges == [None, "bytes=100000-"]
    assert len(node.files()) == 1


def test_leftovers_of_an_image_that_was_deleted_meanwhile_are_collected_at_the_start(node: ImageNode) -> None:
    node.halt()
    (node.pool / f".image-{'a' * 32}.download").touch()
    (node.pool / f".image-{'a' * 32}.json").touch()
    node.boot()
    assert node.files() == []


def test_row_49_a_corrupted_download_stalls_with_the_reason_and_is_not_repeated(node: ImageNode, serve: Serve) -> None:
    server = serve()
    image = node.apply("VirtualImage", "guest", _image(server.url, checksum="sha256:" + "0" * 64))
    status = node.wait(image, "Stalled", "True", "ChecksumDiffers")
    assert "declared is sha256:000" in status["lastError"]["message"]
    assert node.files() == []
    node.converger.enqueue_all()
    node.wait(image, "Stalled", "True", "ChecksumDiffers")
    assert len(server.ranges) == 1


def test_two_images_of_one_source_and_checksum_share_one_file(node: ImageNode, serve: Serve, content: bytes) -> None:
    server = serve()
    first = node.apply("VirtualImage", "first", _image(server.url, checksum=checksum(content)))
    node.wait(first)
    second = node.apply("VirtualImage", "second", _image(server.url, checksum=checksum(content)))
    path = node.wait(second)["path"]
    assert len(server.ranges) == 1
    assert Path(path).samefile(node.status(first)["path"])
    node.delete(first)
    node.wait_gone(first)
    assert Path(path).read_bytes() == content


def test_a_tenant_is_refused_what_an_administrator_may(node: ImageNode, serve: Serve, tmp_path: Path) -> None:
    node.policy = ImagePolicy(url_prefixes=("https://images.example/",))
    node.halt()
    node.boot()
    for source in ({"url": serve().url}, {"path": "/etc/shadow"}, {"url": "file:///etc/shadow"}):
        with pytest.raises(PolicyRefused):
            node.apply("VirtualImage", "guest", {"source": source}, "restricted")
    with pytest.raises(Refused, match="user or password"):
        node.apply("VirtualImage", "guest", _image("https://me:secret@images.example/x"))
    node.wait(node.apply("VirtualImage", "guest", _image(serve().url), "privileged"))


def test_a_tenants_url_that_resolves_to_this_host_stalls(node: ImageNode, serve: Serve) -> None:
    server = serve()
    image = node.apply("VirtualImage", "guest", _image(server.url), "restricted")
    node.wait(image, "Stalled", "True", "PrivateAddress")
    assert server.ranges == []


def test_a_server_that_is_gone_is_asked_with_growing_pauses(
    node: ImageNode, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    queue = node.converger._resource_queue
    retry = queue.retry

    def note(key: str) -> float:
        pauses.append(retry(key))
        return pauses[-1]

    monkeypatch.setattr(queue, "retry", note)
    server = serve(Reply(status=503))
    node.apply("VirtualImage", "guest", _image(server.url))
    wait_until(lambda: len(pauses) >= 3, WAIT_S, "three failures")
    assert pauses[:3] == [0.5, 1.0, 2.0]


# uploads


def _upload(node: ImageNode, path: Path, *options: str) -> int:
    return main(["--node", node.address, "image", "upload", "guest", str(path), *options])


def _guest() -> ObjectRef:
    return ObjectRef(kind="VirtualImage", namespace="default", name="guest")


def test_row_49_the_command_line_uploads_with_a_checksum(
    node: ImageNode, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _upload(node, tmp_path / "made.qcow2", "--checksum", checksum(content)) == 0
    assert capsys.readouterr().out == f"virtualimage.xvirt.io/guest uploaded\n{checksum(content)}\n"
    status = node.status(_guest())
    assert Path(status["path"]).read_bytes() == content
    assert status["checksum"] == checksum(content)
    assert _upload(node, tmp_path / "made.qcow2") == 0


def test_an_upload_of_something_else_than_asked_for_sends_nothing(
    node: ImageNode, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    assert _upload(node, tmp_path / "made.qcow2", "--checksum", "sha256:" + "0" * 64) != 0
    assert "nothing was sent" in capsys.readouterr().err
    assert node._is_gone(_guest())


def test_an_upload_that_is_no_image_is_refused_with_the_reason(
    node: ImageNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("no image")
    assert _upload(node, tmp_path / "text") != 0
    assert "is not qcow2" in capsys.readouterr().err
    assert node.files() == []


def test_an_upload_goes_on_where_a_former_one_broke(node: ImageNode, tmp_path: Path, content: bytes) -> None:
    spec = {"source": {"upload": {"size": str(len(content))}}, "checksum": checksum(content)}
    ref = node.apply("VirtualImage", "guest", spec)
    node.wait(ref, "Reconciling", "True", "AwaitingUpload")
    upload = open_upload(node.host, node.stored(ref), len(content))
    upload.write(content[:100_000])
    node.wait(ref, "Reconciling", "True", "Uploading")
    upload.close()
    sent: list[int] = []
    with open(tmp_path / "made.qcow2", "rb") as handle:
        upload_image(node.client, ref, ImageFile(handle, len(content)), sent.append)
    assert min(sent) > 100_000
    node.wait(ref)
    assert Path(node.status(ref)["path"]).read_bytes() == content


@pytest.fixture
def send(node: ImageNode, content: bytes) -> Iterator[Callable[[ObjectRef], Stream[int]]]:
    """Begins an upload that sends 100,000 bytes, and then nothing until the test ends."""
    ended = threading.Event()

    def requests(first: pb.UploadRequest) -> Iterator[pb.UploadRequest]:
        yield first
        yield pb.UploadRequest(data=content[:100_000])
        ended.wait(WAIT_S)

    def start(ref: ObjectRef) -> Stream[int]:
        call = calls.upload(ref, len(content))
        return Stream(node.client, call, None, requests(call.request))

    yield start
    ended.set()


def _declare_upload(node: ImageNode, content: bytes) -> ObjectRef:
    return node.apply("VirtualImage", "guest", {"source": {"upload": {}}, "checksum": checksum(content)})


def test_a_sender_that_breaks_off_leaves_what_it_sent(
    node: ImageNode, content: bytes, send: Callable[[ObjectRef], Stream[int]]
) -> None:
    ref = _declare_upload(node, content)
    with send(ref) as stream:
        assert stream.next() == 0
        wait_until(lambda: node.status(ref).get("transferred") == "100000", WAIT_S, "the first part")
    node.wait(ref, "Reconciling", "True", "AwaitingUpload")
    with send(ref) as again:
        assert again.next() == 100_000


def test_a_sender_that_falls_silent_is_ended(
    node: ImageNode,
    content: bytes,
    send: Callable[[ObjectRef], Stream[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = dataclasses.replace(DEFAULT_LIMITS, upload_idle_s=0.2)
    monkeypatch.setattr("nodeplugin.server_images.DEFAULT_LIMITS", limits)
    ref = _declare_upload(node, content)
    with send(ref) as stream:
        stream.next()
        with pytest.raises(XvirtError):
            stream.next()
    node.wait(ref, "Reconciling", "True", "AwaitingUpload")


def test_an_upload_into_a_foreign_namespace_is_forbidden(node: ImageNode, content: bytes) -> None:
    ref = _declare_upload(node, content)
    stranger = Caller(name="stranger", authorities=("local",), namespaces=("other",), profiles=("restricted",))
    with pytest.raises((Forbidden, NotFound)):
        node.service.open_upload(stranger, ref, len(content))


def test_an_image_that_is_deleted_while_it_is_uploaded_goes(
    node: ImageNode, content: bytes, send: Callable[[ObjectRef], Stream[int]]
) -> None:
    ref = _declare_upload(node, content)
    with send(ref) as stream:
        stream.next()
        wait_until(lambda: node.status(ref).get("transferred") == "100000", WAIT_S, "the first part")
        node.delete(ref)
    node.wait_gone(ref)
    wait_until(lambda: node.files() == [], WAIT_S, "the partial file to go")


def test_what_takes_no_upload_says_so(node: ImageNode, serve: Serve) -> None:
    image = node.apply("VirtualImage", "guest", _image(serve().url))
    disk = node.apply("VirtualDisk", "disk", {"size": "1Mi"})
    with open("/dev/null", "rb") as handle:
        for ref in (image, disk):
            with pytest.raises(Refused, match="takes no upload"):
                upload_image(node.client, ref, ImageFile(handle, 1), lambda done: None)
