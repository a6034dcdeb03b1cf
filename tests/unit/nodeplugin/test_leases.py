"""What is being copied is not removed, and what is being removed is not copied."""

from __future__ import annotations

import pytest

from nodeplugin.converge.leases import Leases
from xvirt.model.errors import Busy


def test_a_volume_that_is_used_is_not_removed_until_the_last_has_ended() -> None:
    leases = Leases()
    with leases.use("/pool/image"):
        with leases.use("/pool/image"):
            pass
        with pytest.raises(Busy), leases.removal("/pool/image"):
            pass
        with leases.removal("/pool/other"):
            pass
    with leases.removal("/pool/image"):
        pass


def test_a_volume_that_goes_is_not_begun_with() -> None:
    leases = Leases()
    with leases.removal("/pool/image"):
        for hold in (leases.use, leases.removal):
            with pytest.raises(Busy), hold("/pool/image"):
                pass
    with leases.use("/pool/image"):
        pass
