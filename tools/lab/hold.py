"""`python -m tools.lab.hold DIRECTORY [OWNER_FD]` only waits: for ever, or until the owner's end of the pipe closes.

DIRECTORY is there for people who look at the list of processes.
"""

import os
import signal
import sys

if __name__ == "__main__":
    if len(sys.argv) > 2:
        os.read(int(sys.argv[2]), 1)
    else:
        signal.pause()
