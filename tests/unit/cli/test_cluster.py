"""The command line in a cluster: the same verbs, the same words."""

from __future__ import annotations

import builtins
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.apifaults import Refusal
from tests.unit.cli.live_cluster import HOST, Terminal, terminal, write_kubeconfig
from tests.unit.cli.live_node import MACHINE, VM, eventually, run_here
from tests.unit.gateway.cluster import WAIT_S
from xvirt.cli import main
from xvirt.operator.kinds import VIRTUAL_HOSTS, VIRTUAL_MACHINES
from xvirt.operator.runtime.resources import EVENTS, SECRETS, Key

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: web-init}\nstringData: {userData: hello}\n"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with terminal(tmp_path) as made:
        yield made


def found(shell: Terminal, name: str = "web") -> Any:
    return shell.cluster.api.find(VIRTUAL_MACHINES, Key("default", name))


# declaring


def test_apply_creates_configures_and_leaves_alone_what_is_declared_so(shell: Terminal) -> None:
    assert shell.xvirt("apply", "-f", "-", text=MACHINE).out == f"{VM}/web created\n"
    assert shell.xvirt("apply", "-f", "-", text=MACHINE).out == f"{VM}/web unchanged\n"
    changed = shell.xvirt("apply", "-f", "-", text=MACHINE.replace("64Mi", "96Mi"))
    assert (changed.code, changed.out) == (0, f"{VM}/web configured\n")
    assert found(shell)["spec"]["memory"]["size"] == "96Mi"


def test_apply_sends_what_was_written_and_no_defaults(shell: Terminal) -> None:
    shell.xvirt("apply", "-f", "-", text=MACHINE)
    document = found(shell)
    assert document["spec"] == {"cpu": {"cores": 1, "max": 2}, "memory": {"size": "64Mi", "max": "128Mi"}}
    assert document["metadata"]["labels"] == {"app": "web"}


def test_apply_takes_the_output_of_get_without_what_the_server_added(shell: Terminal) -> None:
    shell.cluster.declare()
    shown = shell.xvirt("get", "vm", "web", "-o", "yaml").out
    assert "resourceVersion" in shown
    assert shell.xvirt("apply", "-f", "-", text=shown).out == f"{VM}/web unchanged\n"


def test_a_document_with_a_mistake_changes_nothing(shell: Terminal) -> None:
    outcome = shell.xvirt("apply", "-f", "-", text=SECRET + "---\n" + MACHINE.replace("cores: 1", "cores: none"))
    assert outcome.code == 3
    assert "stdin:7: spec.cpu.cores" in outcome.err
    assert shell.cluster.api.objects(SECRETS) == []


def test_secrets_are_applied_as_they_are_and_deleted_with_the_file(shell: Terminal) -> None:
    stream = MACHINE + "---\n" + SECRET
    assert shell.xvirt("apply", "-f", "-", text=stream).out == f"secret/web-init created\n{VM}/web created\n"
    secret = shell.cluster.api.find(SECRETS, Key("default", "web-init"))
    assert secret is not None
    assert secret["stringData"] == {"userData": "hello"}
    outcome = shell.xvirt("delete", "-f", "-", text=stream)
    assert outcome.out == f"{VM}/web deleted\nsecret/web-init deleted\n"
    assert shell.cluster.api.objects(SECRETS) == []


def test_apply_waits_until_everything_is_ready(shell: Terminal) -> None:
    shell.xvirt("apply", "-f", "-", text=MACHINE)
    shell.ready()
    outcome = shell.xvirt("apply", "--wait", "-f", "-", text=MACHINE)
    assert outcome.out == f"{VM}/web unchanged\n{VM}/web ready\n"


def test_fields_that_others_have_set_are_a_conflict_until_they_are_taken_over(shell: Terminal) -> None:
    shell.cluster.declare()
    changed = MACHINE.replace("max: 2", "max: 4")
    outcome = shell.xvirt("apply", "-f", "-", text=changed)
    assert outcome.code == 5
    assert "--force-conflicts takes the fields over" in outcome.err
    assert shell.xvirt("apply", "--force-conflicts", "-f", "-", text=changed).out == f"{VM}/web configured\n"


def test_what_the_api_server_refuses_is_told_by_its_paths(shell: Terminal) -> None:
    details = {
        "causes": [{"field": "spec.runStrategy", "message": "is not wanted here", "reason": "FieldValueInvalid"}]
    }
    shell.cluster.api.faults.refuse_with(Refusal(422, "Invalid", "no", details), "PATCH", "virtualmachines")
    outcome = shell.xvirt("apply", "-f", "-", text=MACHINE)
    assert (outcome.code, outcome.err) == (
        3,
        "error: VirtualMachine default/web: spec.runStrategy: is not wanted here\n",
    )


def test_a_profile_is_the_namespaces_label(shell: Terminal) -> None:
    outcome = shell.xvirt("apply", "--profile", "privileged", "-f", "-", text=MACHINE)
    assert outcome.code == 2
    assert "xvirt.io/policy-profile" in outcome.err


# reading


def test_get_prints_the_same_columns_as_on_a_node(shell: Terminal) -> None:
    shell.cluster.declare()
    shell.ready(cpus=1, memory="64Mi")
    assert shell.xvirt("get", "vm").rows() == [
        ["NAME", "STATUS", "CPUS", "MEMORY", "ADDRESS"],
        ["web", "Running", "1", "64Mi", "-"],
    ]
    assert shell.xvirt("get", "vm", "-o", "name").out == f"{VM}/web\n"
    assert shell.xvirt("get", "vm", "-o", "wide").rows()[1][6] == HOST
    assert json.loads(shell.xvirt("get", "vm/web", "-o", "json").out)["metadata"]["name"] == "web"


def test_hosts_are_objects_like_others(shell: Terminal) -> None:
    shell.cluster.declare_host("node-b", "192.0.2.7:9443")
    assert [row[0] for row in shell.xvirt("get", "hosts").rows()] == ["NAME", HOST, "node-b"]
    assert "192.0.2.7:9443" in shell.xvirt("describe", "host", "node-b").out


def test_all_and_several_namespaces_are_listed(shell: Terminal) -> None:
    shell.cluster.declare()
    other = {"metadata": {"namespace": "red", "name": "db", "labels": {"app": "db"}}, "spec": {}}
    shell.cluster.api.write(VIRTUAL_MACHINES, other)
    assert [row[:2] for row in shell.xvirt("get", "all", "-A").rows()] == [
        ["NAMESPACE", "NAME"],
        ["default", f"{VM}/web"],
        ["red", f"{VM}/db"],
    ]
    assert shell.xvirt("get", "vm", "-n", "red", "-l", "app=db", "-o", "name").out == f"{VM}/db\n"


def test_what_is_not_there_ends_with_its_code(shell: Terminal) -> None:
    outcome = shell.xvirt("get", "vm", "ghost")
    assert (outcome.code, outcome.err) == (4, "error: VirtualMachine default/ghost is not there\n")


def test_a_kind_that_one_may_not_list_keeps_no_other_from_being_printed(shell: Terminal) -> None:
    shell.cluster.declare()
    message = 'storagepools.xvirt.io is forbidden: User "ann" cannot list'
    shell.cluster.api.faults.refuse_with(Refusal(403, "Forbidden", message), "GET", "storagepools")
    outcome = shell.xvirt("get", "all")
    assert outcome.code == 6
    assert 'User "ann" cannot list' in outcome.err
    assert f"{VM}/web" in outcome.out


def test_describe_has_what_the_host_says(shell: Terminal) -> None:
    shell.cluster.declare()
    shell.xvirt("reset", "web", "--operation-id", "mine")
    said = shell.xvirt("describe", "vm", "web").out
    for heading in ("Spec:", "Status:", "Domain XML:", "Statistics:", "Operations:", "Events: none"):
        assert f"\n{heading}\n" in f"\n{said}\n"
    assert re.search(r"reset +Succeeded .* mine ", said)


def test_describe_tells_why_the_host_says_nothing(shell: Terminal) -> None:
    shell.cluster.declare("early", host="", is_on_node=False)
    outcome = shell.xvirt("describe", "vm", "early")
    assert outcome.code == 0
    assert "Host:\n  VirtualMachine default/early is on no host yet; wait until it is placed\n" in outcome.out


def event(shell: Terminal, name: str, note: str, second: int, about: str = "web", **more: Any) -> None:
    regarding = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "name": about, "namespace": "default"}
    document = {
        "metadata": {"name": name, "namespace": "default"},
        "regarding": regarding,
        "type": "Warning",
        "reason": "Odd",
        "note": note,
        "eventTime": f"2026-01-31T12:00:{second:02}.000000Z",
    }
    shell.cluster.api.write(EVENTS, {**document, **more})


def test_events_are_those_of_xvirts_objects_oldest_first(shell: Terminal) -> None:
    shell.cluster.declare()
    series = {"count": 3, "lastObservedTime": "2026-01-31T12:00:09.500000Z"}
    event(shell, "a", "second", 1, series=series)
    event(shell, "b", "first", 2)
    event(shell, "c", "of another", 3, about="db")
    event(shell, "d", "of a pod", 4, regarding={"apiVersion": "v1", "kind": "Pod", "name": "web"})
    assert shell.xvirt("events", "vm", "web").rows()[1:] == [
        ["2026-01-31T12:00:02Z", "1", "Warning", "Odd", "virtualmachine/web", "first"],
        ["2026-01-31T12:00:09Z", "3", "Warning", "Odd", "virtualmachine/web", "second"],
    ]
    assert [row[-1] for row in shell.xvirt("events").rows()[1:]] == ["first", "another", "second"]
    assert shell.xvirt("events", "vm", "ghost").code == 4


def test_row_102_wait_for_conditions_values_and_the_end(shell: Terminal) -> None:
    shell.cluster.declare()
    assert shell.xvirt("wait", "vm", "web", "--for=condition=Ready", "--timeout", "0").code == 8
    shell.ready()
    assert shell.xvirt("wait", "vm/web", "--for=condition=Ready").out == f"{VM}/web condition met\n"
    assert shell.xvirt("wait", "vm/web", "--for=jsonpath={.status.nodeName}=node-a").code == 0
    shell.cluster.api.remove(VIRTUAL_MACHINES, Key("default", "web"))
    assert shell.xvirt("wait", "vm/web", "--for=delete").out == f"{VM}/web deleted\n"


def test_delete_asks_and_waits_until_the_object_is_gone(shell: Terminal) -> None:
    shell.cluster.declare()
    assert shell.xvirt("delete", "vm", "web").out == f"{VM}/web deleted\n"
    assert shell.xvirt("delete", "vm", "web").code == 4
    assert shell.xvirt("delete", "vm", "web", "--ignore-not-found").code == 0


def test_delete_by_force_powers_off_first(shell: Terminal) -> None:
    uid = shell.cluster.declare()
    assert shell.xvirt("delete", "vm", "web", "--force").code == 0
    eventually(lambda: shell.cluster.node.state(uid) == "Stopped")
    shell.cluster.declare("early", host="", is_on_node=False)
    assert shell.xvirt("delete", "vm", "early", "--force").out == f"{VM}/early deleted\n"


def test_delete_by_force_leaves_the_object_where_the_host_cannot_be_reached(shell: Terminal) -> None:
    shell.cluster.declare()
    shell.cluster.declare_host(address="127.0.0.1:1")
    outcome = shell.xvirt("delete", "vm", "web", "--force")
    assert outcome.code == 8
    assert 'was not deleted; `kubectl annotate` it with xvirt.io/force-delete="true"' in outcome.err
    assert found(shell) is not None


# following


def test_a_watch_prints_the_list_and_then_what_changes(shell: Terminal) -> None:
    shell.cluster.declare()
    with process(shell, "get", "vm", "-w") as running:
        assert next_line(running).split()[0] == "NAME"
        assert next_line(running).split()[:2] == ["web", "-"]
        call_soon(shell, lambda: shell.ready())
        assert next_line(running).split()[:2] == ["web", "Running"]
        call_soon(shell, lambda: shell.cluster.api.remove(VIRTUAL_MACHINES, Key("default", "web")))
        assert next_line(running) == f"{VM}/web deleted\n"


def test_ctrl_c_ends_a_watch_without_a_word(shell: Terminal) -> None:
    shell.cluster.declare()
    with process(shell, "get", "vm,vnet", "-w") as running:
        assert next_line(running).split()[0] == "NAME"
        eventually(lambda: len([sent for sent in shell.cluster.api.sent if sent.query.get("watch")]) == 2)
        running.send_signal(signal.SIGINT)
        assert running.wait(WAIT_S) == 130
        assert running.stderr is not None
        assert running.stderr.read().strip() == ""


def test_a_watch_of_several_kinds_goes_on_over_a_break(shell: Terminal) -> None:
    shell.cluster.declare()
    with process(shell, "get", "vm,vnet,hosts", "-w") as running:
        assert next_line(running).split()[0] == "NAME"
        assert next_line(running).split()[0] == f"{VM}/web"
        assert next_line(running).split()[0] == "NAME"
        assert next_line(running).split()[0] == f"virtualhost.xvirt.io/{HOST}"
        eventually(lambda: len([sent for sent in shell.cluster.api.sent if sent.query.get("watch")]) == 3)
        call_soon(shell, lambda: shell.cluster.api.faults.end_watches(Refusal(410, "Expired", "too old")))
        assert running.stderr is not None
        assert running.stderr.readline().endswith("watching again\n")
        call_soon(shell, lambda: shell.ready())
        assert next_line(running).split()[:2] == [f"{VM}/web", "Running"]


def test_events_are_followed_from_now_on(shell: Terminal) -> None:
    shell.cluster.declare()
    event(shell, "a", "before", 1)
    with process(shell, "events", "-w") as running:
        assert next_line(running).split()[0] == "LAST"
        assert next_line(running).split()[-1] == "before"
        eventually(lambda: any(sent.query.get("watch") for sent in shell.cluster.api.sent))
        call_soon(shell, lambda: event(shell, "b", "after", 2))
        assert next_line(running).split()[-1] == "after"


def call_soon(shell: Terminal, change: Any) -> None:
    """Change something within the API server's loop, so that watches are told."""

    async def work() -> None:
        change()

    shell.cluster.run(work())


def process(shell: Terminal, *arguments: str) -> Any:
    argv = [sys.executable, "-c", "from xvirt.cli.main import run; run()", "--kubeconfig", str(shell.kubeconfig)]
    running = subprocess.Popen([*argv, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    timer = threading.Timer(30.0, running.kill)
    timer.start()

    class _Context:
        def __enter__(self) -> subprocess.Popen[str]:
            return running

        def __exit__(self, *_: object) -> None:
            timer.cancel()
            running.kill()
            running.communicate()

    return _Context()


def next_line(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline()


# acts


def test_row_24_each_verb_once_by_the_command_line(shell: Terminal) -> None:
    uid = shell.cluster.declare()
    eventually(lambda: shell.cluster.node.state(uid) == "Running")
    words = {
        "pause": ("paused", "Paused"),
        "resume": ("resumed", "Running"),
        "restart": ("restarted", "Running"),
        "reset": ("reset", "Running"),
        "save": ("saved", "Saved"),
        "restore": ("restored", "Running"),
        "stop": ("stopped", "Stopped"),
        "start": ("started", "Running"),
    }
    for verb, (done, state) in words.items():
        outcome = shell.xvirt(verb, "vm", "web")
        assert (outcome.code, outcome.out) == (0, f"{VM}/web {done}\n")
        assert shell.cluster.node.state(uid) == state


def test_acts_take_selectors_and_go_on_over_a_host_that_is_down(shell: Terminal) -> None:
    uid = shell.cluster.declare()
    shell.cluster.declare("away", host="node-b", is_on_node=False)
    shell.cluster.declare_host("node-b", "127.0.0.1:1")
    outcome = shell.xvirt("pause", "--all")
    assert outcome.code == 8
    assert "error: host node-b cannot be reached" in outcome.err
    assert outcome.out == f"{VM}/web paused\n"
    assert shell.cluster.node.state(uid) == "Paused"


def test_what_a_host_refuses_has_the_code_that_it_has_on_the_node(shell: Terminal) -> None:
    shell.cluster.declare("off", runStrategy="Halted")
    outcome = shell.xvirt("start", "off")
    assert (outcome.code, outcome.err) == (
        7,
        "error: VirtualMachine default/off has runStrategy Halted; change that to start it\n",
    )


def test_who_may_act_but_not_look_is_told_that_it_was_asked_for(shell: Terminal) -> None:
    shell.cluster.declare()
    shell.cluster.reviewing.rights.discard(("ann", "get", "description"))
    outcome = shell.xvirt("pause", "web")
    assert (outcome.code, outcome.out) == (0, f"{VM}/web pause was asked for\n")
    assert "cannot be seen" in outcome.err


def test_row_87_who_may_not_act_is_forbidden(shell: Terminal) -> None:
    shell.cluster.declare()
    shell.cluster.reviewing.rights.discard(("ann", "update", "pause"))
    outcome = shell.xvirt("pause", "web")
    assert outcome.code == 6
    assert "User 'ann' cannot update resource" in outcome.err


def test_a_cluster_without_the_gateway_says_so(shell: Terminal) -> None:
    shell.cluster.declare()
    shell.cluster.server.is_registered = False
    outcome = shell.xvirt("pause", "web")
    assert outcome.code == 7
    assert "does not serve subresources.xvirt.io; install the gateway" in outcome.err
    assert (
        "Host:\n  VirtualMachine default/web: this cluster does not serve" in shell.xvirt("describe", "vm", "web").out
    )


def test_an_answer_that_was_lost_is_asked_for_again_by_the_same_name(shell: Terminal) -> None:
    shell.cluster.declare()
    shell.cluster.api.faults.be_down(times=2)
    assert shell.xvirt("get", "vm", "-o", "name").out == f"{VM}/web\n"


def test_top_shows_what_the_hosts_count(shell: Terminal) -> None:
    shell.cluster.declare()
    shell.ready(powerState="Running", cpus=1)
    outcome = shell.xvirt("top", "--once", "--interval", "1s")
    assert outcome.code == 0
    assert outcome.rows()[0][:4] == ["NAME", "STATUS", "CPUS", "CPU%"]
    assert outcome.rows()[1][:3] == ["web", "Running", "1"]


# where


@pytest.mark.parametrize(
    "words",
    [
        ["logs", "web"],
        ["console", "web"],
        ["adopt", "web"],
        ["release", "web"],
        ["get", "orphans"],
        ["get", "foreign"],
        ["export", "--to", "pulumi", "web"],
        ["node", "info"],
        ["node", "accept-epoch", "x"],
    ],
)
def test_what_only_a_node_has_says_so_in_one_sentence(shell: Terminal, words: list[str]) -> None:
    outcome = shell.xvirt(*words)
    assert outcome.code == 2
    command = " ".join(words[:2] if words[0] in ("get", "node") else words[:1])
    assert outcome.err.splitlines()[0] == (
        f"error: {command} asks one host's node, not a cluster; name the node by --node"
    )


def test_the_context_gives_server_and_namespace(shell: Terminal, tmp_path: Path) -> None:
    red = {"metadata": {"namespace": "red", "name": "db"}, "spec": {}}
    shell.cluster.api.write(VIRTUAL_MACHINES, red)
    kubeconfig = write_kubeconfig(tmp_path / "red", shell.cluster.url, namespace="red")
    assert run_here(["--kubeconfig", str(kubeconfig), "get", "vm", "-o", "name"]).out == f"{VM}/db\n"
    assert run_here(["get", "vm", "--kubeconfig", str(kubeconfig), "-n", "blue"]).err.startswith("No objects")
    outcome = run_here(["--kubeconfig", str(kubeconfig), "--context", "nowhere", "get", "vm"])
    assert outcome.code == 8
    assert "127.0.0.1" in outcome.err
    outcome = run_here(["--kubeconfig", str(kubeconfig), "--context", "odd", "get", "vm"])
    assert outcome.code == 2
    assert "'odd'" in outcome.err


def test_the_environments_kubeconfig_is_found(shell: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.cluster.declare()
    monkeypatch.setenv("KUBECONFIG", str(shell.kubeconfig))
    assert run_here(["--cluster", "get", "vm", "-o", "name"]).out == f"{VM}/web\n"


def test_kubectls_plugin_means_the_cluster_unless_a_node_is_named(
    shell: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.cluster.declare()
    monkeypatch.setenv("KUBECONFIG", str(shell.kubeconfig))
    monkeypatch.setenv("XVIRT_NODE", "unix:///nowhere")
    assert main.main(["get", "vm", "-o", "name"], main.PLUGIN) == 0
    assert capsys.readouterr().out == f"{VM}/web\n"
    assert main.main(["--node", "unix:///nowhere", "get", "vm"], main.PLUGIN) == 8
    assert "/nowhere" in capsys.readouterr().err


def test_a_node_and_a_cluster_together_are_refused(shell: Terminal) -> None:
    outcome = shell.xvirt("--node", "unix:///nowhere", "get", "vm")
    assert outcome.code == 2
    assert "--node and --cluster name two places" in outcome.err


def test_version_names_the_cluster(shell: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    host = shell.cluster.api.find(VIRTUAL_HOSTS, Key("", HOST))
    assert host is not None
    shell.cluster.api.write(VIRTUAL_HOSTS, {**host, "status": {"xvirtVersion": "0.1.0"}}, "status")
    send = shell.cluster.server.send

    async def answer(request: Any) -> Any:
        if request.path != "/version":
            return await send(request)
        from xvirt.operator.runtime.transport import Answer

        return Answer(200, {}, b'{"gitVersion": "v1.36.0"}')

    monkeypatch.setattr(shell.cluster.server, "send", answer)
    assert shell.xvirt("version").out.splitlines()[1] == "cluster: Kubernetes v1.36.0, nodes: 0.1.0"
    assert json.loads(shell.xvirt("version", "-o", "json").out)["cluster"] == {"version": "v1.36.0", "nodes": "0.1.0"}


def test_without_the_packages_of_the_cluster_it_says_which_extra_brings_them(
    shell: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("xvirt.cli.cluster")]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("xvirt.operator.runtime"):
            raise ModuleNotFoundError("No module named 'aiohttp'", name="aiohttp")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    outcome = shell.xvirt("get", "vm")
    assert outcome.code == 2
    assert "packages that are missing (aiohttp); install xvirt[cluster]" in outcome.err


def test_a_node_user_does_not_load_what_a_cluster_needs() -> None:
    code = "import sys, xvirt.cli.main; print([name for name in ('aiohttp', 'orjson', 'kubernetes') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
