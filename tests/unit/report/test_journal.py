"""The journal: a folder that one run writes to, records that stay, and what can be kept of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance.engine.judgement import Judgement, Status
from conformance.errors import OutputError, ReportError
from conformance.report.journal import FILE, Journal, kept
from conformance.report.model import record

HEADER = json.dumps(
    {
        "record": "header", "schema": "conformance-report/1", "versions": {}, "platform": "", "started": "then",
        "profile": "quick", "seed": 0, "only": "*", "dtype": None, "clauses": ["FWD-1", "DEL-1"],
        "adapters": [{"name": n, "versions": {}, "capabilities": {}, "arithmetic": {}} for n in ("a", "b")],
    }
)  # fmt: skip


def remark(adapter: str, check: str = "shapes") -> str:
    return json.dumps({"record": "remark", "adapter": adapter, "check": check, "ok": True, "text": ""})


def judgement(adapter: str, problem: str, clause: str) -> str:
    return record(
        "judgement",
        Judgement(adapter=adapter, clause=clause, problem=problem, origin="given", status=Status.FAIL),
    )


FIRST = (remark("a"), judgement("a", "one", "FWD-1"), judgement("a", "one", "DEL-1"))
SECOND = (remark("b"), judgement("b", "one", "FWD-1"), judgement("b", "one", "DEL-1"))
LAST = (judgement("b", "two", "FWD-1"), judgement("b", "two", "DEL-1"))


def written(folder: Path, *lines: str, rest: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text("".join(line + "\n" for line in lines) + rest, encoding="utf-8")
    return folder


# ---- writing ----
def test_a_record_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with Journal(folder) as journal:
        for count in range(3):
            journal.write(f"{{{count}: ä}}")
            assert (folder / FILE).read_text(encoding="utf-8").splitlines()[count] == f"{{{count}: ä}}"


def test_an_old_report_is_emptied(tmp_path: Path) -> None:
    written(tmp_path, HEADER)
    with Journal(tmp_path):
        assert (tmp_path / FILE).read_bytes() == b""


def test_a_second_run_into_a_folder_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.write(HEADER)
        with pytest.raises(OutputError) as caught:
            Journal(tmp_path)
        assert (
            str(caught.value)
            == f"the folder {str(tmp_path)!r} is in use: another run writes its report there"
        )
        assert (tmp_path / FILE).read_text(encoding="utf-8") == HEADER + "\n"
    with Journal(tmp_path):  # it is free again
        pass


def test_a_folder_that_is_a_file_is_the_users_fault(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    for folder in (file, file / "below"):
        with pytest.raises(OutputError) as caught:
            Journal(folder)
        assert str(caught.value).startswith(f"the folder {str(folder)!r} cannot be written: ")
        assert (caught.value.fault, caught.value.exit_code) == ("user", 2)


def test_a_report_that_is_a_folder_is_the_users_fault_and_frees_the_lock(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    for _ in range(2):
        with pytest.raises(OutputError, match="cannot be written: Is a directory"):
            Journal(tmp_path)


class FullDisk:
    """Takes so many bytes, in small pieces, and no more."""

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, b""

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        piece = data[: min(7, self.room)]
        self.taken += piece
        self.room -= len(piece)
        return len(piece)

    def close(self) -> None:
        pass


def test_a_full_disk_is_said_with_what_to_do(tmp_path: Path) -> None:
    disk = FullDisk(len(HEADER) + 20)
    with Journal(tmp_path) as journal:
        journal._file.close()
        journal._file = disk  # type: ignore[assignment]
        journal.write(HEADER)
        with pytest.raises(OutputError) as caught:
            journal.write(FIRST[0])
    assert str(caught.value) == (
        f"{tmp_path / FILE} cannot be written: No space left on device; what was judged is kept: go on with "
        f"`conformance run --resume {tmp_path}`"
    )
    assert (caught.value.fault, caught.value.exit_code) == ("disk", 2)
    assert disk.taken.decode() == (HEADER + "\n" + FIRST[0])[: len(HEADER) + 20]


def test_records_that_stay_are_compared_and_not_written_again(tmp_path: Path) -> None:
    written(tmp_path, HEADER, *FIRST)
    with Journal(tmp_path, (HEADER, FIRST[0])) as journal:
        journal.write(HEADER.replace("then", "now"))  # when it started may differ
        journal.write(FIRST[0])
        journal.write("{}")
    assert (tmp_path / FILE).read_text(encoding="utf-8").splitlines() == [HEADER, FIRST[0], "{}"]


def test_a_run_that_does_not_repeat_what_stands_there_is_refused(tmp_path: Path) -> None:
    written(tmp_path, HEADER, FIRST[0])
    with (
        Journal(tmp_path, (HEADER, FIRST[0])) as journal,
        pytest.raises(ReportError) as caught,
    ):
        journal.write(HEADER.replace('"seed": 0', '"seed": 3'))
    assert str(caught.value) == (
        f"{tmp_path / FILE}, line 1: this run does not repeat what stands there: it has seed 0, now it is 3; "
        "start the run anew"
    )


# ---- what is kept ----
@pytest.mark.parametrize(
    ("lines", "stays", "finished", "judged"),
    [
        ((), 1, {}, []),
        (FIRST[:1], 1, {}, []),
        (FIRST[:2], 2, {}, []),  # was the problem's last judgement made?
        (FIRST, 2, {}, []),
        ((*FIRST, *SECOND[:1]), 4, {"a": 3}, []),
        ((*FIRST, *SECOND), 5, {"a": 3}, []),
        ((*FIRST, *SECOND, *LAST[:1]), 7, {"a": 3}, ["one"]),
        ((*FIRST, *SECOND, *LAST), 7, {"a": 3}, ["one"]),
        ((*FIRST, *SECOND, *LAST, remark("b", "known failures")), 9, {"a": 3}, ["one", "two"]),
    ],
)
def test_all_but_the_last_problem_and_what_comes_after_judging_is_kept(
    lines: tuple[str, ...], stays: int, finished: dict[str, int], judged: list[str], tmp_path: Path
) -> None:
    found = kept(written(tmp_path, HEADER, *lines))
    assert list(found.lines) == [HEADER, *lines][:stays]
    assert {name: len(events) for name, events in found.finished.items()} == finished
    assert list(found.judged) == judged
    assert found.judged_of("a") == ({} if finished else found.judged)
    assert not found.ended


@pytest.mark.parametrize("rest", ["{", '{"record": "judg', "é", SECOND[0]])
def test_a_last_line_that_was_cut_off_is_left_out(rest: str, tmp_path: Path) -> None:
    cut = rest.encode()[:1] if rest == "é" else rest.encode()
    written(tmp_path, HEADER, *FIRST)
    with (tmp_path / FILE).open("ab") as file:
        file.write(cut)
    assert list(kept(tmp_path).lines) == [HEADER, FIRST[0]]


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_damaged_earlier_line_is_named(number: int, tmp_path: Path) -> None:
    lines: list[Any] = [HEADER, *FIRST]
    lines[number - 1] = lines[number - 1][:-3]
    with pytest.raises(ReportError, match=rf"{FILE}, line {number}: not JSON"):
        kept(written(tmp_path, *lines))


@pytest.mark.parametrize("text", ["", HEADER[:20]])
def test_a_file_without_a_header_cannot_be_resumed(text: str, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="does not begin with the header"):
        kept(written(tmp_path, rest=text))


def test_a_folder_without_a_journal_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(ReportError) as caught:
        kept(tmp_path)
    assert str(caught.value) == f"there is no {FILE} in {str(tmp_path)!r}: nothing to resume"
