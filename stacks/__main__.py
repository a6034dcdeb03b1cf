"""Runs the program of a stack: its name up to the first dot is a folder here, so that `fleet` and `fleet.prod` are stacks of `fleet/`."""

import runpy
from pathlib import Path

import pulumi

FOLDER = Path(__file__).resolve().parent
PROGRAMS = {
    path.parent.name: path for path in sorted(FOLDER.glob("*/*.py")) if path.stem == path.parent.name.replace("-", "_")
}


def find_program(stack: str) -> Path:
    """The program of a stack. Raises pulumi.RunError where none is called so."""
    found = PROGRAMS.get(stack.partition(".")[0])
    if found is None:
        raise pulumi.RunError(
            f"no program is called {stack}; name the stack {', '.join(PROGRAMS)}, or one of these with more after a dot"
        )
    return found


if __name__ == "__main__":
    runpy.run_path(str(find_program(pulumi.get_stack())), run_name="__main__")
