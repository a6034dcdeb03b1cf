"""The table from step to what does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodeplugin.converge.host import Host
from nodeplugin.plan import step as steps
from nodeplugin.steps import disk, domain, network, volume
from nodeplugin.telemetry import OK, Work

Progress = Callable[[int], None]

_PLAIN: dict[type[steps.Step], Callable[[Any, Host], str]] = {
    steps.ImportImage: volume.import_image,
    steps.CancelImport: volume.cancel_import,
    steps.GrowVolume: volume.grow,
    steps.DeleteVolume: volume.delete,
    steps.WriteSeed: volume.seed,
    steps.RemoveSeeds: volume.remove_seeds,
    steps.DefineDomain: domain.define,
    steps.StartDomain: domain.start,
    steps.ShutdownDomain: domain.shutdown,
    steps.DestroyDomain: domain.destroy,
    steps.SuspendDomain: domain.suspend,
    steps.ResumeDomain: domain.resume,
    steps.SaveDomain: domain.save,
    steps.UndefineDomain: domain.undefine,
    steps.ReleaseDomain: domain.release,
    steps.MarkDomain: domain.mark,
    steps.SetVcpus: domain.set_vcpus,
    steps.SetBalloon: domain.set_balloon,
    steps.UpdateDevice: domain.update_device,
    steps.NoteRunning: domain.note_running,
    steps.AttachDevice: domain.attach,
    steps.DetachDevice: domain.detach,
    steps.ResizeDisk: disk.resize,
    steps.ChangeMedium: disk.change_medium,
    steps.TuneDisk: disk.tune,
    steps.AddIoThread: disk.add_io_thread,
    steps.RemoveIoThread: disk.remove_io_thread,
    steps.DefineNetwork: network.define_network,
    steps.StartNetwork: network.start_network,
    steps.StopNetwork: network.stop_network,
    steps.UndefineNetwork: network.undefine_network,
    steps.UpdateNetwork: network.update_network,
    steps.DefineFilter: network.define_filter,
    steps.CreateGroup: network.create_group,
    steps.DefinePool: network.define_pool,
    steps.StartPool: network.start_pool,
    steps.StopPool: network.stop_pool,
    steps.UndefinePool: network.undefine_pool,
    steps.AutostartPool: network.autostart_pool,
}
_LONG: dict[type[steps.Step], Callable[[Any, Host, Progress], str]] = {
    steps.CreateVolume: volume.create,
}
STEP_TYPES = frozenset(_PLAIN) | frozenset(_LONG)


def run_step(step: steps.Step, host: Host, progress: Progress) -> str:
    """Do one step. Returns what it found out (a definition's hash) or nothing."""
    began, outcome = host.clock.monotonic_s(), OK
    try:
        long = _LONG.get(type(step))
        return long(step, host, progress) if long is not None else _PLAIN[type(step)](step, host)
    except Exception as error:
        outcome = type(error).__name__
        raise
    finally:
        host.index.touch()
        host.telemetry.ended(Work.STEP, step.name, outcome, host.clock.monotonic_s() - began)
