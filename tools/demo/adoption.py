"""The demo's last scene: a domain that virsh made, converted, adopted as it runs, and given back."""

from __future__ import annotations

from typing import Protocol

from tools.lab import Node

DOMAIN = "hand-made"
XML = f"""<domain type='qemu'>
  <!-- as an administrator wrote it -->
  <name>{DOMAIN}</name>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/><tcg><tb-cache unit='MiB'>16</tb-cache></tcg></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/var/lib/libvirt/images/hand-made.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <serial type='pty'/>
    <sound model='ich9'/>
  </devices>
</domain>
"""


class Stage(Protocol):
    """What the demo shows with."""

    node: Node

    def say(self, text: str) -> None: ...

    def xvirt(self, line: str, stdin: str | None = None) -> str: ...

    def on_host(self, line: str) -> str: ...


def show_adoption(demo: Stage) -> None:
    """Nothing of it restarts or changes: QEMU's process is the same before and after."""
    demo.say("libvirt's XML as YAML, and back, without a loss")
    text = demo.xvirt("convert --to yaml -", XML)
    demo.xvirt("convert --to xml -", text)

    demo.say("a domain that somebody made with virsh is adopted as it runs")
    demo.node.run(["mkdir", "-p", "/var/lib/libvirt/images"])
    demo.node.run(["qemu-img", "create", "-q", "-f", "qcow2", f"/var/lib/libvirt/images/{DOMAIN}.qcow2", "16M"])
    demo.node.virsh("define", "/dev/stdin", stdin=XML)
    demo.on_host(f"virsh start {DOMAIN}")
    pid = f"cat /run/libvirt/qemu/{DOMAIN}.pid"
    before = demo.on_host(pid)
    demo.xvirt("get foreign")
    demo.xvirt(f"adopt {DOMAIN} --dry-run")
    demo.xvirt(f"adopt {DOMAIN}")
    demo.xvirt(f"wait vm {DOMAIN} --for=condition=Ready --timeout=90s")
    demo.xvirt("get vm")

    demo.say("and given back: the same process, the same definition, without xVirt's mark")
    demo.xvirt(f"release {DOMAIN}")
    after = demo.on_host(pid)
    if before != after:
        raise SystemExit("demo: the adopted domain was restarted")
    demo.xvirt("get foreign")
    demo.node.virsh("destroy", DOMAIN)
    demo.node.virsh("undefine", DOMAIN)
