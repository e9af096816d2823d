"""What the trial on several hosts counts as a failure; the hosts themselves are not run here."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.hosts import report

OFF, BACK = 100.0, 125.0


class Replica:
    """One that has asked what it is said to have asked."""

    def __init__(self, *lines: dict[str, Any]) -> None:
        self.lines = [{"at": 50.0 + n, "seconds": 0.2, "faults": []} for n in range(20)] + list(lines)

    def is_alive(self) -> bool:
        return True


def error(at: float, seconds: float) -> dict[str, Any]:
    return {"error": "cannot be reached", "at": at, "seconds": seconds}


@pytest.mark.parametrize(("at", "seconds"), [(99.5, 20.0), (110.0, 10.0), (125.5, 0.1)])
def test_an_error_of_a_question_that_the_cut_met_is_borne(at: float, seconds: float) -> None:
    report({"app1": Replica(), "app2": Replica(error(at, seconds))}, OFF, BACK)  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("host", "at", "seconds"), [("app2", 70.0, 1.0), ("app2", 130.0, 1.0), ("app1", 110.0, 1.0)]
)
def test_any_other_error_is_a_failure(host: str, at: float, seconds: float) -> None:
    replicas = {"app1": Replica(), "app2": Replica()} | {host: Replica(error(at, seconds))}
    with pytest.raises(AssertionError):
        report(replicas, OFF, BACK)  # type: ignore[arg-type]
