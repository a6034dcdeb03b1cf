"""`python -m tools.flux`: build kustomize-controller where it is missing; prints its path."""

import sys

from tools.flux.program import find_program
from tools.golang import GoBuildError

if __name__ == "__main__":
    try:
        print(find_program())
    except GoBuildError as error:
        sys.exit(f"flux: {error}")
