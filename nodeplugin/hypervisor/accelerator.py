"""Whether KVM really runs guests here: /dev/kvm and libvirt's capabilities prove nothing.

The probe boots 512 bytes under KVM: they switch to 64-bit mode with paging, as every kernel does, count through a loop, and end QEMU
by its debug-exit port. Where KVM is itself emulated (nested without hardware support) a kernel never gets that far in time.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
from pathlib import Path

from nodeplugin.hypervisor.port import HostFacts
from xvirt.model.errors import Refused
from xvirt.model.virtualhost import Accelerator

PROBE_TIMEOUT_S = 5.0
"""Software emulation needs 0.3 s for the same program on a slow machine; working KVM less."""
PROBE_EXIT_CODE = 33
"""isa-debug-exit turns the byte 0x10 into (0x10 << 1) | 1."""

_BOOT_CODE = bytes.fromhex(
    "fa31c08ed88ec08ed0bc007c"  # cli; ds = es = ss = 0; sp = 0x7c00
    "bf0010b90018f3ab"  # clear the page tables, 0x1000 .. 0x3fff
    "c70600100320c70600200330c70600308300"  # PML4 -> PDPT -> PD with one page of 2 MiB
    "66b8001000000f22d8"  # cr3 = 0x1000
    "0f20e06683c8200f22e0"  # cr4.PAE
    "66b9800000c00f32660d000100000f30"  # EFER.LME
    "0f0116887c"  # lgdt
    "0f20c0660d010000800f22c0"  # cr0.PG and PE
    "ea5f7c0800"  # far jump into 64-bit code
    "b980f0fa02486bc003ffc975f8"  # 50,000,000 times: imul rax, 3
    "66baf400b010ee"  # out 0xf4, 0x10
    "f4ebfd6690"  # hlt for ever
    "000000000000000000000000009a20000f00787c0000"  # GDT with one 64-bit code segment, and its pointer
)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What guests run on, and how that was found out."""

    accelerator: Accelerator
    reason: str

    @property
    def domain_type(self) -> str:
        """libvirt's domain type."""
        return "kvm" if self.accelerator is Accelerator.KVM else "qemu"


def boot_sector() -> bytes:
    """The probe's 512 bytes."""
    return _BOOT_CODE.ljust(510, b"\0") + b"\x55\xaa"


def choose_accelerator(wanted: str, facts: HostFacts, work_directory: Path) -> Verdict:
    """`kvm` and `tcg` are taken at their word, `auto` is probed. Raises Refused for `kvm` where libvirt offers none."""
    if wanted == "tcg":
        return Verdict(Accelerator.TCG, "the node's config says so")
    if wanted == "kvm":
        if not facts.offers_kvm:
            raise Refused("accelerator: kvm is configured, but libvirt offers no KVM here; load the module or use auto")
        return Verdict(Accelerator.KVM, "the node's config says so")
    if not facts.offers_kvm:
        return Verdict(Accelerator.TCG, "libvirt offers no KVM here")
    if facts.architecture != "x86_64":
        return Verdict(Accelerator.KVM, f"libvirt offers KVM; there is no probe for {facts.architecture}")
    fault = run_probe("kvm", work_directory)
    if fault is None:
        return Verdict(Accelerator.KVM, "a probe in 64-bit mode ran under KVM")
    return Verdict(Accelerator.TCG, f"KVM is there but does not work: {fault}")


def run_probe(accelerator: str, work_directory: Path) -> str | None:
    """Boot the probe. Returns what went wrong; None where it ran."""
    descriptor, name = tempfile.mkstemp(prefix=".probe-", dir=work_directory)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(boot_sector())
        argv = ["qemu-system-x86_64", "-accel", accelerator, "-machine", "pc", "-m", "16", "-nodefaults"]
        argv += ["-no-user-config", "-display", "none", "-no-reboot", "-boot", "c"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        argv += ["-drive", f"file={name},format=raw,if=ide,readonly=off,snapshot=on"]
        answer = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the probe did not end within {PROBE_TIMEOUT_S:g} s"
    except OSError as error:
        return f"QEMU cannot be started: {error.strerror}"
    finally:
        os.unlink(name)
    if answer.returncode == PROBE_EXIT_CODE:
        return None
    text = answer.stderr.decode(errors="replace").strip().splitlines()
    return f"QEMU ended with code {answer.returncode}" + (f": {text[-1]}" if text else "")
