"""`python -m tools.controlplane`: build the programs where they are missing; prints the command of each."""

import shlex
import sys

from tools.controlplane.programs import find_programs
from tools.golang import GoBuildError

if __name__ == "__main__":
    try:
        for command in find_programs().commands.values():
            print(shlex.join(command))
    except GoBuildError as error:
        sys.exit(f"controlplane: {error}")
