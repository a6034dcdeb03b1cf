"""First-boot data in a whole node: what becomes of Secrets, what a change of data costs, and what is refused with which remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nodeplugin.hypervisor.port import XmlView
from nodeplugin.steps.seed import read_seed
from tests.unit.nodeplugin.world import CALLER, World
from xvirt.model import limits
from xvirt.model.exchange import ApplyCall, ObjectRef, SecretContent, Verb

WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample admin"
OTHER = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQDexampleexampleexample backup"
SECRET_TEXT = "hunter2-do-not-tell"


class Node:
    def __init__(self, directory: Path) -> None:
        self.world = World(directory)
        self.directory = directory

    def apply(self, cloud_init: dict[str, Any], **secrets: dict[str, bytes]) -> None:
        document = {
            "apiVersion": "xvirt.io/v1alpha1",
            "kind": "VirtualMachine",
            "metadata": {"name": "web"},
            "spec": {"memory": {"size": "64Mi"}, "cloudInit": cloud_init, "terminationGracePeriodSeconds": 0},
        }
        contents = tuple(SecretContent(name=name, data=data) for name, data in secrets.items())
        self.world.service.apply(CALLER, ApplyCall(document=document, secrets=contents))
        self.world.settle()

    def seeds(self) -> list[dict[str, bytes]]:
        return [read_seed(path.read_bytes()) for path in sorted((self.directory / "seeds").glob("*.iso"))]

    def condition(self, kind: str) -> dict[str, Any]:
        stored = self.world.store.find_named("VirtualMachine", "default", "web")
        assert stored is not None
        return next(item for item in stored.status["conditions"] if item["type"] == kind)

    def everything_told(self) -> str:
        """All that anybody can read of the machine but the seed and the store, which root alone reads."""
        description = self.world.service.describe(CALLER, WEB)
        preview = self.world.converger.preview(self.world.store.list_objects()[0])
        definitions = [
            self.world.hypervisor.domain_xml(record.uuid, view)
            for record in self.world.hypervisor.list_domains()
            for view in XmlView
        ]
        return json.dumps([repr(description), repr(preview), *definitions])


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_row_80_keys_are_declared_and_taken_from_a_secret(node: Node) -> None:
    lines = f"# who may in\n\n{OTHER}\n{KEY}\n".encode()
    node.apply(
        {"sshAuthorizedKeys": [KEY], "sshAuthorizedKeysFrom": {"secret": "keys"}}, keys={"sshAuthorizedKeys": lines}
    )
    assert node.condition("Ready")["status"] == "True"
    assert f'public-keys:\n- "{KEY}"\n- "{OTHER}"\n'.encode() in node.seeds()[0]["meta-data"]


def test_row_80_a_missing_secret_is_said_with_its_remedy_and_mends_itself_when_applied(node: Node) -> None:
    cloud_init = {"userData": {"secret": "init"}, "sshAuthorizedKeysFrom": {"secret": "keys", "key": "who"}}
    node.apply(cloud_init)
    assert node.condition("Stalled")["reason"] == "SecretMissing"
    assert node.condition("Ready")["message"] == (
        "Secret init with key userData was not sent along; apply it with the machine"
    )
    node.apply(cloud_init, init={"userData": b"x"}, keys={"other": b""})
    assert "Secret keys with key who was not sent along" in node.condition("Ready")["message"]
    node.apply(cloud_init, init={"userData": b"x"}, keys={"who": KEY.encode()})
    assert node.condition("Ready")["status"] == "True"
    assert node.condition("Stalled")["status"] == "False"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            f"{KEY}\n-----BEGIN OPENSSH PRIVATE KEY----- {SECRET_TEXT}".encode(),
            "line 2 of key sshAuthorizedKeys is not",
        ),
        (b"\xff\xfe", "line 1 of key sshAuthorizedKeys is not"),
        (b"\n".join(f"{KEY}{n}".encode() for n in range(65)), "holds 65 SSH keys, at most 64 are taken"),
        (b"x" * (limits.SSH_KEYS_MAX * limits.SSH_KEY_MAX_LENGTH + 1), "holds 524289 bytes, at most 524288"),
    ],
)
def test_what_a_secret_holds_is_judged_without_being_told(node: Node, content: bytes, words: str) -> None:
    node.apply({"sshAuthorizedKeysFrom": {"secret": "keys"}}, keys={"sshAuthorizedKeys": content})
    assert node.condition("Stalled")["reason"] == "SecretInvalid"
    assert words in node.condition("Ready")["message"]
    assert SECRET_TEXT not in node.everything_told()
    assert node.seeds() == []


def test_user_data_of_a_secret_is_bounded_as_inline_is(node: Node) -> None:
    data = b"x" * (limits.USER_DATA_MAX_BYTES + 1)
    node.apply({"userData": {"secret": "init"}}, init={"userData": data})
    assert "holds 524289 bytes, at most 524288 are taken" in node.condition("Ready")["message"]


def test_row_80_a_secrets_content_is_in_the_seed_and_nowhere_else(
    node: Node, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    node.apply(
        {"userData": {"secret": "init"}, "networkData": {"secret": "init"}},
        init={"userData": SECRET_TEXT.encode(), "networkData": SECRET_TEXT.encode()},
    )
    assert node.seeds()[0]["user-data"] == node.seeds()[0]["network-config"] == SECRET_TEXT.encode()
    node.apply({"userData": {"secret": "init"}}, init={"userData": SECRET_TEXT.encode()})
    assert SECRET_TEXT not in node.everything_told()
    assert SECRET_TEXT not in caplog.text
    assert SECRET_TEXT not in "".join(capsys.readouterr())


def _instance_ids(node: Node) -> set[bytes]:
    return {seed["meta-data"].splitlines()[0] for seed in node.seeds()}


INLINE = ({"userData": {"inline": "one"}}, {"userData": {"inline": "two"}, "sshAuthorizedKeys": [KEY]})
BY_SECRET = ({"userData": {"secret": "init"}}, {"userData": {"secret": "init"}})


@pytest.mark.parametrize("documents", [INLINE, BY_SECRET], ids=["inline", "secret"])
def test_row_80_changed_data_waits_for_the_next_start_and_takes_the_old_seed_away_then(
    node: Node, documents: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    node.apply(documents[0], init={"userData": b"one"})
    before = _instance_ids(node)
    node.apply(documents[1], init={"userData": b"two"})
    assert node.condition("RestartRequired")["status"] == "True"
    assert "spec.cloudInit" in node.condition("RestartRequired")["message"]
    assert {seed["user-data"] for seed in node.seeds()} == {b"one", b"two"}, "the running guest keeps its own"
    node.world.operate(WEB, Verb.RESTART)
    node.world.settle()
    assert node.condition("RestartRequired")["status"] == "False"
    assert [seed["user-data"] for seed in node.seeds()] == [b"two"], "what an old Secret held is not left on the host"
    assert _instance_ids(node) == before, "the instance-id is the machine's for its whole life"


def test_a_saved_machine_keeps_the_seed_that_it_goes_on_with(node: Node) -> None:
    node.apply({"userData": {"inline": "one"}})
    node.world.operate(WEB, Verb.SAVE)
    node.world.settle()
    node.apply({"userData": {"inline": "two"}})
    assert {seed["user-data"] for seed in node.seeds()} == {b"one", b"two"}
    node.world.operate(WEB, Verb.RESTORE)
    node.world.settle()
    assert {seed["user-data"] for seed in node.seeds()} == {b"one", b"two"}
    assert node.condition("RestartRequired")["status"] == "True"
    node.world.operate(WEB, Verb.RESTART)
    node.world.settle()
    assert [seed["user-data"] for seed in node.seeds()] == [b"two"]


def test_a_machine_without_first_boot_data_any_more_has_no_seed_left(node: Node) -> None:
    node.apply({"userData": {"inline": "one"}})
    document = dict(node.world.store.list_objects()[0].document)
    document["spec"] = {key: value for key, value in document["spec"].items() if key != "cloudInit"}
    node.world.service.apply(CALLER, ApplyCall(document=document))
    node.world.settle()
    assert len(node.seeds()) == 1
    node.world.operate(WEB, Verb.RESTART)
    node.world.settle()
    assert node.seeds() == []


def test_the_same_data_again_writes_no_seed(node: Node) -> None:
    node.apply({"userData": {"secret": "init"}}, init={"userData": b"x"})
    before = [path.stat().st_mtime_ns for path in (node.directory / "seeds").iterdir()]
    node.apply({"userData": {"secret": "init"}}, init={"userData": b"x"})
    assert [path.stat().st_mtime_ns for path in (node.directory / "seeds").iterdir()] == before
