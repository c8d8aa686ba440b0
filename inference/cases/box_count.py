"""How many boxes a case has, before numpy is there to read them."""

import re
from pathlib import Path

from ..errors import CaseError, only_case_errors
from .archive import header_bytes, open_archive

MAX_OBJECTS = 2**16 - 1  # labels end there
TABLE = rb"'shape': \((\d{1,5}), ?\d\)"  # of rows and columns, in the header of an array


def box_count(path: Path) -> int:
    """How many boxes an npz file says that it holds; 0 where it cannot be read, or says nothing that can be true."""
    try:
        with only_case_errors(), open_archive(path) as archive:
            rows = re.search(TABLE, header_bytes(archive, "boxes") or b"")
    except CaseError:
        return 0
    count = int(rows[1]) if rows else 0
    return count if count <= MAX_OBJECTS else 0
