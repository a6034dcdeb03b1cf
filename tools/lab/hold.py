"""`python -m tools.lab.hold [OWNER_FD]` only waits: for ever, or until the owner's end of the pipe closes."""

import os
import signal
import sys

if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.read(int(sys.argv[1]), 1)
    else:
        signal.pause()
