"""`python -m tools.pulumi`: print the directory of a usable `pulumi`, building it first when there is none."""

import sys

from tools.golang import GoBuildError
from tools.pulumi import engine_directory


def main() -> int:
    """Exit code 0 with the directory on standard output, 1 with the reason on standard error."""
    try:
        print(engine_directory())
    except GoBuildError as error:
        print(f"tools.pulumi: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
