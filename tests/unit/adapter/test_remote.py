"""A process of its own that does what it should not: recognised, named, ended, and started again for the next call."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from conformance.adapter.connect import connect
from conformance.adapter.manifest import sdk
from conformance.adapter.process import Command
from conformance.adapter.remote import Remote
from conformance.adapter.session import Session
from conformance.errors import AdapterBroken
from conformance.problem import Problem
from conformance.problem.memory import MEMORIES
from conformance.spec import Died, NotOffered, Question, Raised, TimedOut

HOSTILE = Path(__file__).parents[2] / "hostile.py"
LIMIT = 2.0
GIVEN_UP = "after 3 calls in a row that ended in nothing it is not asked any more"
Asked = Callable[[Session, int], object]
Open = Callable[..., Session]


def question(stride: int, *, backward: bool = False) -> Question:
    p = Problem.parse(f"2d n2 c2 m3 i6x6 k2x2 s{stride}x{stride}")
    return Question(geometry=p.geometry, operands=p.operands, memory="c", backward=backward)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    sessions: list[Session] = []

    def started(mode: str, *, limit: float = LIMIT, memory: int = 2**33) -> Session:
        variables = {"SDK": str(sdk("python")), "GRANDCHILD": str(tmp_path / "grandchild")}
        command = Command(args=(sys.executable, str(HOSTILE), mode), variables=variables)
        sessions.append(Session(Remote(command, mode, time_limit=limit, memory=memory), mode))
        return sessions[-1]

    yield started
    for session in sessions:
        session.close()


def is_alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False


def children() -> set[int]:
    """Processes that this one started and has not waited for."""
    return {int(p) for p in Path(f"/proc/self/task/{os.getpid()}/children").read_text("utf-8").split()}


DEATHS = {
    "aborts": r"killed by SIGABRT: .*terminate called after throwing an instance of 'std::bad_alloc'",
    "prints_and_aborts": r"killed by SIGABRT: .*kernel 3x3 chosen",
    "segfaults": r"killed by SIGSEGV",
    "is_killed": r"killed by SIGKILL, as a system does that is out of memory",
    "exits": r"exited with status 3",
    "exits_well": r"exited with status 0",
    "half_a_line": r"exited with status 1 after 15 bytes of a line of its answer",
    "half_a_blob": r"exited with status 1 after 100 bytes of an answer of 1000 bytes",
    "leaves_a_grandchild": r"exited with status 5",
}
LATE = {
    "hangs": r"did not answer within 6 s, 3 times the limit for the first call of a shape$",
    "ignores_sigterm": r"did not answer within 6 s",
    "half_a_line_and_hangs": r"did not answer within 6 s.*\(after 15 bytes of its answer\)",
    "floods_stderr": r"did not answer within 6 s",
}
BROKEN = {
    "claims_a_huge_blob": "an answer that claims 1152921504606846 bytes: at most 4294967296",
    "claims_more_than_it_shares": "an answer of 100000 bytes in shared memory that holds 0",
    "a_nonsense_blob": "a blob of 16 bytes whose header would have 18446744073709551615",
    "another_seq": "an answer whose seq is 1 more than its request's: one answer a request, in order",
    "another_answer": "it answers 'reason' where 'tensors' was due",
    "names_a_stranger": r"its answer to forward says modified of 'z\\x1b\[1m', which is not an operand of it",
    "two_answers": "bytes behind its answer: a second answer, or a print",
    "prints_to_the_protocol": r"carries 'Using \\x1b\[31mTensorFlow\\x1b\[0m backend.', which is no message",
    "floods_stdout": "more than 1048576 bytes on its standard output without an end of line, which begin 'xxx",
    "floods_stdout_with_lines": "carries 'progress', which is no message of the protocol",
    "closes_stdout": "it closed the pipe of the protocol and lives on",
}


@pytest.mark.parametrize(
    ("mode", "kind", "said"),
    [
        *((mode, Died, said) for mode, said in DEATHS.items()),
        *((mode, TimedOut, said) for mode, said in LATE.items()),
        *((mode, AdapterBroken, said) for mode, said in BROKEN.items()),
    ],
)
def test_what_happens_is_recognised_and_the_next_call_is_answered(
    mode: str, kind: type[Exception], said: str, opened: Open
) -> None:
    before = children()
    session = opened(mode)
    right = session.put(question(1)).arrays["y"]
    with pytest.raises(kind) as met:
        session.put(question(2))
    assert re.search(said, str(met.value)), str(met.value)
    assert "\x1b" not in str(met.value)
    assert (session.put(question(1)).arrays["y"] == right).all()  # started again
    session.close()
    assert children() <= before  # nothing is left behind


def test_memory_beyond_the_limit_ends_the_process(opened: Open) -> None:
    session = opened("eats_memory", limit=20, memory=2**30)
    with pytest.raises(Died, match=r"ended: it used [1-4]\.\d GiB of memory, 1 are allowed"):
        session.put(question(2))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells how much memory a process uses")
def test_the_memory_of_what_it_started_counts(opened: Open) -> None:
    session = opened("eats_memory_in_a_child", limit=20, memory=300 * 2**20)
    with pytest.raises(Died, match=r"ended: it used 0\.[34] GiB of memory, 0\.292969 are allowed"):
        session.put(question(2))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells how much memory a process uses")
def test_the_memory_of_a_program_behind_a_launcher_counts() -> None:
    program = shlex.join([sys.executable, str(HOSTILE), "eats_memory"])
    command = Command(args=("sh", "-c", f"{program}; exit $?"), variables={"SDK": str(sdk("python"))})
    with closing(Session(Remote(command, "launched", time_limit=20, memory=2**29), "launched")) as session:
        session.put(question(1))
        with pytest.raises(Died, match=r"ended: it used [01]\.\d GiB of memory, 0\.5 are allowed"):
            session.put(question(2))


def test_memory_that_processes_share_counts_once(opened: Open) -> None:
    session = opened("shares_its_memory_with_children", limit=20, memory=2**29)
    assert session.put(question(2)).arrays["y"].shape == (2, 3, 3, 3)


def test_a_grandchild_is_ended_too(opened: Open, tmp_path: Path) -> None:
    session = opened("leaves_a_grandchild")
    with pytest.raises(Died):
        session.put(question(2))
    grandchild = int((tmp_path / "grandchild").read_text("utf-8"))
    for _ in range(50):
        if not is_alive(grandchild):
            return
        time.sleep(0.1)
    pytest.fail(f"process {grandchild} lives on")


def test_exceptions_of_any_kind_are_answers(opened: Open) -> None:
    session = opened("raises_system_exit")
    with pytest.raises(Raised, match="SystemExit: that is enough") as raised:
        session.put(question(2))
    assert not isinstance(raised.value, Died)
    assert session.place.deaths == 0


def test_prints_harm_nothing(opened: Open) -> None:
    session = opened("noisy")
    assert session.put(question(1)).arrays["y"].shape == (2, 3, 5, 5)
    assert session.put(question(2)).arrays["y"].shape == (2, 3, 3, 3)


def test_what_it_says_while_it_ends_is_heard(opened: Open, capsys: pytest.CaptureFixture[str]) -> None:
    session = opened("says_goodbye")
    session.put(question(1))
    session.close()
    assert "profile: 1 call" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mode", "kind", "said"),
    [
        ("late_death", Died, "exited with status 7"),
        ("late_error", Raised, "RuntimeError: an asynchronous error of the stream"),
    ],
)
def test_a_fault_that_surfaces_in_the_next_call_is_laid_at_the_call_before(
    mode: str, kind: type[Exception], said: str, opened: Open
) -> None:
    session = opened(mode)
    session.put(question(1))
    session.put(question(2))
    with pytest.raises(kind) as met:
        session.put(question(1))
    assert said in str(met.value)
    assert "asked again it answers: the fault is that of the call before (forward of 2 items" in str(
        met.value
    )
    assert "stride 2x2" in str(met.value)


def test_a_broken_pipe_to_it_is_the_adapters_fault(opened: Open) -> None:
    session = opened("late_closed_input")
    session.put(question(2))
    with pytest.raises(AdapterBroken, match="it closed the pipe of the protocol and lives on"):
        session.put(question(1))
    assert session.put(question(1)).arrays["y"].size


def test_a_fault_of_its_own_is_not_laid_at_the_call_before(opened: Open) -> None:
    session = opened("exits")
    session.put(question(1))
    with pytest.raises(Died) as met:
        session.put(question(2))
    assert "call before" not in str(met.value)


def test_after_deaths_in_a_row_it_is_not_asked_any_more(opened: Open) -> None:
    """It is lost as it was the last time: what crashes is not told to be late."""
    session = opened("exits")
    for _ in range(3):
        with pytest.raises(Died):
            session.put(question(2))
    with pytest.raises(Died, match="exited with status 3: " + GIVEN_UP):
        session.put(question(1))
    assert session.place.grant(1)
    assert session.put(question(1)).arrays["y"].size


@pytest.mark.parametrize(("mode", "kind"), [("hangs", TimedOut), ("another_seq", AdapterBroken)])
def test_what_is_not_asked_has_the_status_of_what_was_met(
    mode: str, kind: type[Exception], opened: Open
) -> None:
    session = opened(mode, limit=0.5)
    for _ in range(3):
        with pytest.raises(kind):
            session.put(question(2))
    with pytest.raises(kind, match=GIVEN_UP):
        session.put(question(1))
    session.place.anew()
    assert session.put(question(1)).arrays["y"].size


def test_the_first_call_of_a_shape_has_more_time(opened: Open) -> None:
    session = opened("hangs", limit=0.5)
    for seconds in ("1.5", "0.5"):
        with pytest.raises(TimedOut, match=f"within {seconds} s"):
            session.put(question(2))


def test_large_tensors_go_through_shared_memory_bit_for_bit(opened: Open) -> None:
    session = opened("none")
    p = Problem.parse("2d n4 c8 m1 i64x64 k1x1 fill=real")
    asked = Question(geometry=p.geometry, operands=p.operands, memory="c", backward=True)
    for _ in range(2):
        answer = session.put(asked)
        assert (answer.arrays["dx"] == p.operands.x).all()
        assert answer.shared == ("dx",)  # it gives back its operand
        assert answer.modified == ()
    small = session.put(question(1, backward=True))
    assert small.shared == ("dx",)
    assert (answer.arrays["dx"] == p.operands.x).all()  # what was answered before stays


def test_a_program_that_does_not_start() -> None:
    with pytest.raises(AdapterBroken, match="'/no/such/program' does not start: No such file or directory"):
        Remote(Command(args=("/no/such/program",)), "mine", time_limit=LIMIT)


def test_a_program_that_speaks_something_else() -> None:
    with pytest.raises(AdapterBroken, match=r"mine: .*'hello.*(which is no message|or a print)"):
        Remote(Command(args=("echo", "hello")), "mine", time_limit=LIMIT)


def test_a_program_that_ends_at_once() -> None:
    with pytest.raises(AdapterBroken, match="mine: it does not start: exited with status 1"):
        Remote(Command(args=("false",)), "mine", time_limit=LIMIT)


@pytest.mark.parametrize("layouts", [("NCHW", "OIHW"), ("NHWC", "HWIO"), ("CHWN", "IHWO")])
def test_arrays_are_handed_over_in_every_memory_layout(layouts: tuple[str, str], tmp_path: Path) -> None:
    """The SDK's layouts are those of the suite, for any number of axes: strides and all."""
    seen = tmp_path / "adapter.py"
    seen.write_text(
        "from conformance import Adapter, Capabilities\n"
        "import numpy as np\n"
        "class Strides(Adapter):\n"
        f"    capabilities = Capabilities(dtypes={{'float64'}}, x_layout={layouts[0]!r}, w_layout={layouts[1]!r})\n"
        "    def forward(self, g, x, w, b):\n"
        "        return np.array([*x.strides, *w.strides, *b.strides], float)\n",
        encoding="utf-8",
    )

    here = connect(str(seen))
    with closing(connect(str(seen), in_process=False)) as there:
        lines = ("1d n2 c3 m4 i5 k2", "2d n2 c3 m4 i5x6 k2x2", "3d n2 c3 m4 i5x6x7 k2x2x3")
        for memory, line in itertools.product(MEMORIES, lines):
            p = Problem.parse(line)
            asked = Question(geometry=p.geometry, operands=p.operands, memory=memory)
            y = there.put(asked).arrays["y"]
            assert np.array_equal(y, here.put(asked).arrays["y"]), (memory, line)


def test_fresh_memory_is_spoiled_there_too(tmp_path: Path) -> None:
    careless = tmp_path / "adapter.py"
    careless.write_text(
        "from conformance import Adapter, Capabilities\n"
        "import numpy as np\n"
        "class Careless(Adapter):\n"
        "    capabilities = Capabilities()\n"
        "    def forward(self, g, x, w, b):\n"
        "        return np.empty(g.y_shape)\n",
        encoding="utf-8",
    )

    p = Problem.parse("2d n2 c3 m4 i5x6 k2x2")
    with closing(connect(str(careless), in_process=False)) as session:
        asked = Question(geometry=p.geometry, operands=p.operands, memory="c", spoil=(p.operands.delta.size,))
        assert np.isnan(session.put(asked).arrays["y"]).any()


def test_what_is_not_claimed_of_memory_is_not_asked(tmp_path: Path) -> None:
    plain = tmp_path / "adapter.py"
    plain.write_text(
        "from conformance import Adapter, Capabilities\n"
        "class Plain(Adapter):\n"
        "    capabilities = Capabilities(memories={'c'})\n",
        encoding="utf-8",
    )

    p = Problem.parse("2d n2 c3 m4 i5x6 k2x2")
    with pytest.raises(NotOffered, match="memory fortran not claimed"):
        connect(str(plain)).put(Question(geometry=p.geometry, operands=p.operands, memory="fortran"))
