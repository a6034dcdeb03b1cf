"""`python -m tools.guest`: print the path of the cached guest image, building it first when it is missing."""

import sys

from tools.guest.image import GuestBuildError, image_path


def main() -> int:
    """Exit code 0 with the path on standard output, 1 with the reason on standard error."""
    try:
        print(image_path())
    except GuestBuildError as error:
        print(f"tools.guest: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
