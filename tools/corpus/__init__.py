"""libvirt's own test documents: thousands of XML files of every kind, from the source package of the libvirt that is installed.

Taken from the machine's Debian mirror at test time and kept in the user's cache; nothing of it is in this tree. It must not touch
the machine's own package lists. Called by tests and benchmarks (`documents()`), and by people (`python -m tools.corpus`).
XVIRT_CORPUS names a folder to use instead, such as the `tests` folder of another libvirt's source.
"""

from tools.corpus.documents import CorpusError, corpus_path, documents

__all__ = ["CorpusError", "corpus_path", "documents"]
