"""Writing files that are whole or absent, whenever the process is killed."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

# The name under which a file is written: hidden, so that nothing takes it for a result.
PREFIX, SUFFIX = ".qmedsam-", ".part"
STALE_SECONDS = 3600.0


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write(file)` on a temporary file beside `path`, then rename it: `path` is whole or untouched.

    Raises:
        OSError: the folder is not writable, or the disk is full. The temporary file is gone.
    """

    def fill(temporary: Path) -> None:
        with open(temporary, "xb") as file:
            write(file)

    replace_atomically(path, fill)


def replace_atomically(path: Path, write: Callable[[Path], object], ending: str = "") -> None:
    """Call `write(temporary)` with the path of a file to be made beside `path`, then rename it, as above.

    For libraries that open files themselves.

    Args:
        ending: of the temporary file's name, for those that choose a format by it: `.nii.gz`.

    Raises:
        OSError: it cannot be renamed. Whatever `write` raises, the temporary file is gone.
    """
    temporary = _temporary(path.parent, ending)
    try:
        write(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_writable(folder: Path) -> None:
    """Make a file in `folder` and take it away again: permission bits do not tell all that can stand in the way.

    Raises:
        OSError: it cannot be made.
    """
    temporary = _temporary(folder)
    with open(temporary, "xb"):
        temporary.unlink()


def remove_stale(folder: Path) -> None:
    """Remove what runs that were killed outright left in `folder`: temporary files untouched for an hour."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and SUFFIX in entry.name:
                with contextlib.suppress(OSError):  # another run removed it, or owns it
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_SECONDS:
                        os.unlink(entry)


def _temporary(folder: Path, ending: str = "") -> Path:
    return folder / f"{PREFIX}{os.urandom(8).hex()}{SUFFIX}{ending}"
