"""`python -m tools.corpus`: print the folder of the cached documents, fetching them first when they are missing."""

import sys

from tools.corpus.documents import CorpusError, corpus_path


def main() -> int:
    """Exit code 0 with the path on standard output, 1 with the reason on standard error."""
    try:
        print(corpus_path())
    except CorpusError as error:
        print(f"tools.corpus: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
