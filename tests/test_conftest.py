"""What a run says of the tests that it left out."""

from types import SimpleNamespace

import pytest

from tests import conftest
from tests.conftest import NOT_SHARED, skips


def skipped(reason: str) -> SimpleNamespace:
    return SimpleNamespace(longrepr=("tests/test_a.py", 7, f"Skipped: {reason}"))


def test_skips_are_counted_by_reason():
    reports = [skipped("root may read"), skipped("no data"), skipped("no data")]
    assert skips(reports) == "3 tests skipped: 2 x no data, 1 x root may read"
    assert skips(reports[:1]) == "1 test skipped: 1 x root may read"


def test_absent_data_skips_for_one_reason_whatever_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(conftest, "SHARED", tmp_path)
    for name in ("data", "parity"):
        with pytest.raises(pytest.skip.Exception) as skip:
            conftest._shared_folder(name)
        assert skip.value.msg == NOT_SHARED
