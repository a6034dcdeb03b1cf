"""Whether KVM really runs guests here: /dev/kvm and libvirt's capabilities prove nothing.

The probe boots 512 bytes under KVM: they switch to 64-bit mode with paging and SSE, as every kernel does, run a loop of 20 million
rounds, check its result and end QEMU by its debug-exit port. Where KVM is itself emulated (nested without hardware support) a guest
never gets that far in time. A fault is held against KVM only if software emulation does the same work in time: on a host that is too
busy for either, the probe says nothing.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from collections.abc import Callable

from nodeplugin.hypervisor.port import HostFacts
from xvirt.model.errors import Refused
from xvirt.model.virtualhost import Accelerator

PROBE_TIMEOUT_S = 5
"""Software emulation takes 0.2-0.3 s on a slow machine, working KVM less."""
PROBE_EXIT_CODE = 33
"""isa-debug-exit turns the byte 0x10 into (0x10 << 1) | 1 (QEMU hw/misc/debugexit.c)."""
_KILLED = (124, 137, -9)
"""timeout(1): SIGKILL was sent."""

_BOOT_CODE = bytes.fromhex(
    "fa fc 31c0 8ed8 8ec0 8ed0 bc007c"  # cli; cld; ds = es = ss = 0; sp = 0x7c00
    "bf0010 b90018 f3ab"  # rep stosw: clear the page tables, 0x1000 .. 0x3fff
    "c70600100320 c70600200330 c70600308300"  # PML4 -> PDPT -> PD with one page of 2 MiB
    "66b800100000 0f22d8"  # cr3 = 0x1000
    "0f20e0 660d20060000 0f22e0"  # cr4 |= PAE | OSFXSR | OSXMMEXCPT
    "66b9800000c0 0f32 660d00010000 0f30"  # EFER |= LME
    "0f0116b07c"  # lgdt [0x7cb0]
    "0f20c0 6683e0fb 660d03000080 0f22c0"  # cr0: EM off; PE, MP and PG on
    "ea667c0800"  # jmp 0x08:0x7c66, into 64-bit code
    "b801000000 660f6ec8 660fefc0"  # movd xmm1, 1; pxor xmm0, xmm0
    "b9002d3101"  # mov ecx, 20000000
    "486bd203 660ffec1 ffc9 75f4"  # loop: imul rdx, rdx, 3; paddd xmm0, xmm1; dec ecx; jnz loop
    "660f7ec0 3d002d3101 7507"  # movd eax, xmm0; cmp eax, 20000000; jne halt
    "66baf400 b010 ee"  # out 0xf4, 0x10
    "f4 ebfd 0f1f8000000000"  # halt: hlt; jmp halt; padding
    "0000000000000000 0000000000 9a2000"  # 0x7ca0: GDT: null, 64-bit code (limit ignored, base 0)
    "0f00 a07c0000"  # 0x7cb0: its limit and address
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


@dataclasses.dataclass(frozen=True)
class ProbeResult:
    """How one boot of the probe ended: what went wrong (None: nothing) and how long it took."""

    fault: str | None
    elapsed_s: float


def boot_sector() -> bytes:
    """The probe's 512 bytes."""
    return _BOOT_CODE.ljust(510, b"\0") + b"\x55\xaa"


def choose_accelerator(wanted: str, facts: HostFacts) -> Verdict:
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
    return judge_probe(run_probe("kvm"), lambda: run_probe("tcg"))


def judge_probe(kvm: ProbeResult, emulate: Callable[[], ProbeResult]) -> Verdict:
    """What a probe under KVM means; `emulate` runs it in software where that must be known."""
    if kvm.fault is None:
        return Verdict(Accelerator.KVM, f"64-bit code ran under KVM in {kvm.elapsed_s:.2f} s")
    tcg = emulate()
    if tcg.fault is None:
        took = f"software emulation did the same in {tcg.elapsed_s:.2f} s"
        return Verdict(Accelerator.TCG, f"KVM is there but does not work: {kvm.fault}; {took}")
    return Verdict(
        Accelerator.KVM,
        f"libvirt offers KVM; the probe says nothing: {kvm.fault}, under software emulation: {tcg.fault}",
    )


def run_probe(accelerator: str) -> ProbeResult:
    """Boot the probe, from memory: it leaves no file, and timeout(1) ends QEMU also where this process is killed meanwhile."""
    descriptor = os.memfd_create("xvirt-probe", 0)
    began = time.monotonic()
    try:
        os.write(descriptor, boot_sector())
        argv = ["timeout", "-s", "KILL", str(PROBE_TIMEOUT_S), "qemu-system-x86_64", "-accel", accelerator]
        argv += ["-machine", "pc", "-m", "16", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        argv += ["-drive", f"file=/proc/self/fd/{descriptor},format=raw,if=ide,snapshot=on"]
        answer = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, pass_fds=[descriptor], check=False)
    except OSError as error:
        return ProbeResult(f"QEMU cannot be started: {error.strerror}", time.monotonic() - began)
    finally:
        os.close(descriptor)
    return ProbeResult(_find_fault(answer.returncode, answer.stderr), time.monotonic() - began)


def _find_fault(code: int, errors: bytes) -> str | None:
    if code == PROBE_EXIT_CODE:
        return None
    if code in _KILLED:
        return f"the probe did not end within {PROBE_TIMEOUT_S} s"
    lines = errors.decode(errors="replace").strip().splitlines()
    return f"QEMU ended with code {code}" + (f": {lines[-1]}" if lines else "")
