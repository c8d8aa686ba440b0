"""The libraries of the optional extra `files`, imported on use; names as they take them, silence while they work."""

import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import CaseError, SetupError


def simpleitk() -> Any:
    """SimpleITK, which reads and writes images.

    Raises:
        SetupError: it is not installed.
    """
    return _library("SimpleITK")


def pydicom() -> Any:
    """pydicom, which reads DICOM headers.

    Raises:
        SetupError: it is not installed.
    """
    return _library("pydicom")


def highdicom() -> Any:
    """highdicom, which writes DICOM SEG.

    Raises:
        SetupError: it is not installed.
    """
    return _library("highdicom")


@cache
def _library(name: str) -> Any:
    try:
        library = importlib.import_module(name)
    except ImportError as error:
        raise SetupError(
            f"such files need {name}, of the extra 'files': pip install '.[files]' where QMedSAM's sources are"
        ) from error
    if name == "SimpleITK":
        library.ProcessObject.SetGlobalWarningDisplay(False)
    return library


def itk_name(path: Path) -> str:
    """The name of a file as SimpleITK takes it.

    Raises:
        CaseError: it is no UTF-8, on which SimpleITK would end the process.
    """
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise CaseError("its name, or that of a folder around it, is not UTF-8: rename it") from error
    return name


@contextmanager
def silence() -> Iterator[None]:
    """Keep what libraries print to themselves: we say it in one line, and theirs may quote a patient's data."""
    if sys.stderr:
        sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
