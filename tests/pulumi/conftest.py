"""The real engine and a real node for its stacks."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.declared import Declared
from tests.pulumi.cleaning import empty
from tools.guest import image_path
from tools.lab import Lab, LabSpec, Node
from tools.lab.lab import take_down
from tools.lab.spec import BASE_DIRECTORY
from tools.pulumi import engine_directory
from tools.pulumi.stack import Stack

_PREFIX = "stacks-"


@pytest.fixture(scope="session")
def engine() -> Path:
    """Where `pulumi` is."""
    return engine_directory()


@pytest.fixture(scope="session")
def lab(engine: Path) -> Iterator[Lab]:
    """One node. A killed run's directories are removed first; its processes are gone by themselves."""
    for directory in BASE_DIRECTORY.glob(f"{_PREFIX}*"):
        owner = directory.name.removeprefix(_PREFIX)
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            take_down(directory)
    with Lab.up(LabSpec(f"{_PREFIX}{os.getpid()}")) as up:
        yield up


@pytest.fixture(scope="session")
def node(lab: Lab) -> Node:
    """The lab's only node."""
    return lab.nodes["node-a"]


@pytest.fixture
def declared(node: Node) -> Iterator[Declared]:
    """A client of the node, which is empty before and afterwards."""
    client = Declared(node)
    empty(client)
    yield client
    empty(client)


@pytest.fixture(scope="session")
def guest_image(lab: Lab) -> Path:
    """The test guest's image, at a path that the node sees."""
    target = lab.shared / "guest.qcow2"
    shutil.copyfile(image_path(), target)
    return target


@pytest.fixture(scope="session")
def make_stack(engine: Path, node: Node, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Stack]:
    """Makes stacks whose node is the lab's, each with a name of its own."""
    backend = tmp_path_factory.mktemp("backend")
    numbers = itertools.count(1)

    def make() -> Stack:
        name = f"dev{next(numbers)}"
        directory = tmp_path_factory.mktemp(name)
        return Stack(engine, directory, backend, name).make(node=f"unix://{node.socket_path}")

    return make
