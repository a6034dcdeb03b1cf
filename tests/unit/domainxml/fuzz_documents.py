"""A target for atheris: whatever bytes come, a document is refused as InvalidSpec or comes back the same in every form.

`python tests/unit/domainxml/fuzz_documents.py [libFuzzer's options] [CORPUS...]`; `test_fuzz.py` runs it for some seconds.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["xvirt.domainxml", "xvirt.model.documents", "xvirt.model.jsontext"]):
    from xvirt.domainxml.tree_documents import Form, read_document, write_document
    from xvirt.domainxml.xmltext import canonical_document
    from xvirt.model.errors import InvalidSpec

FORMS = tuple(Form)


def try_bytes(data: bytes) -> None:
    """The first byte says in which form the rest is read."""
    if not data:
        return
    try:
        root = read_document(data[1:], FORMS[data[0] % len(FORMS)])
    except InvalidSpec:
        return
    wanted = canonical_document(root)
    for form in FORMS:
        back = read_document(write_document(root, form).encode(), form)
        if canonical_document(back) != wanted:
            raise AssertionError(f"{form.value} is another document")


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_bytes)
    atheris.Fuzz()
