"""One policy for what goes wrong with a case."""

import pytest

from inference.errors import CaseError, SetupError, only_case_errors


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (CaseError("as it says"), "as it says"),
        (MemoryError(), "does not fit in memory"),
        (OSError(28, "No space left on device"), r"cannot be written \(No space left on device\)"),
        (OSError("odd"), r"cannot be written \(odd\)"),
        (RuntimeError("two\nlines"), r"failed for a reason not foreseen \(RuntimeError: two lines\)"),
        (ZeroDivisionError(), r"failed for a reason not foreseen \(ZeroDivisionError:\)"),
    ],
)
def test_costs_the_case_with_one_line(fault, reason):
    with pytest.raises(CaseError, match=f"^{reason}$"), only_case_errors():
        raise fault


@pytest.mark.parametrize("end", [SetupError("weights are broken"), SystemExit(143), KeyboardInterrupt()])
def test_what_ends_the_run_goes_through(end):
    with pytest.raises(type(end)) as raised, only_case_errors():
        raise end
    assert raised.value is end
