"""A program that speaks the wire protocol, and on layers with stride 2 does what its argument says instead of answering.

`python hostile.py MODE`; the modes are the functions below.  Other layers it computes: y of zeros, and x again as dx.
"""

from __future__ import annotations

import atexit
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, os.environ["SDK"])
import conformance_adapter as conformance
import numpy as np

IN, OUT = conformance.CHANNEL
GOOD = b'{"answer":"reason","seq":%d,"reason":null,"bytes":0}\n'


def aborts(seq: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def prints_and_aborts(seq: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.write("kernel 3x3 chosen\n")  # no flush: it may not stay in a buffer
    os.abort()


def segfaults(seq: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), signal.SIGSEGV)


def is_killed(seq: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def exits(seq: int) -> None:
    os._exit(3)


def exits_well(seq: int) -> None:
    os._exit(0)


def raises_system_exit(seq: int) -> None:
    sys.exit("that is enough")


def eats_memory(seq: int) -> None:
    eaten = [np.ones(2**24) for _ in range(40)]  # 5 GiB, a piece at a time
    time.sleep(60 + len(eaten))


def eats_memory_in_a_child(seq: int) -> None:
    eats = "import time; eaten = [bytearray(b'x' * 2**20) for _ in range(400)]; time.sleep(600)"
    subprocess.run([sys.executable, "-c", eats], check=True)


def shares_its_memory_with_children(seq: int) -> None:
    shared = bytearray(b"x") * 2**28  # 256 MiB, which stand in the resident size of each
    children = [os.fork() for _ in range(4) if SERVED["pid"] == os.getpid()]
    if os.getpid() != SERVED["pid"]:
        time.sleep(600)
    time.sleep(1 + 0 * len(shared))
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def hangs(seq: int) -> None:
    time.sleep(600)


def ignores_sigterm(seq: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def half_a_line(seq: int) -> None:
    os.write(OUT, b'{"answer":"tens')
    os._exit(1)


def half_a_line_and_hangs(seq: int) -> None:
    os.write(OUT, b'{"answer":"tens')
    time.sleep(600)


def half_a_blob(seq: int) -> None:
    line = b'{"answer":"tensors","seq":%d,"modified":[],"aliased":[],"where":"pipe","bytes":1000}\n'
    os.write(OUT, line % seq + bytes(100))
    os._exit(1)


def claims_a_huge_blob(seq: int) -> None:
    line = (
        b'{"answer":"tensors","seq":%d,"modified":[],"aliased":[],"where":"pipe","bytes":1152921504606846}\n'
    )
    os.write(OUT, line % seq)
    time.sleep(600)


def claims_more_than_it_shares(seq: int) -> None:
    line = b'{"answer":"tensors","seq":%d,"modified":[],"aliased":[],"where":"shared","bytes":100000}\n'
    os.write(OUT, line % seq)
    time.sleep(600)


def a_nonsense_blob(seq: int) -> None:
    line = b'{"answer":"tensors","seq":%d,"modified":[],"aliased":[],"where":"pipe","bytes":16}\n'
    os.write(OUT, line % seq + b"\xff" * 16)
    time.sleep(600)


def another_seq(seq: int) -> None:
    os.write(OUT, GOOD % (seq + 1))


def another_answer(seq: int) -> None:
    os.write(OUT, GOOD % seq)
    time.sleep(600)


def names_a_stranger(seq: int) -> None:
    fields = rb'"modified":["z\u001b[1m"],"aliased":[],"where":"pipe","bytes":0'
    os.write(OUT, b'{"answer":"tensors","seq":%d,%b}\n' % (seq, fields))
    time.sleep(600)


def two_answers(seq: int) -> None:
    os.write(OUT, 2 * (b'{"answer":"unsupported","seq":%d,"reason":"it is Tuesday","bytes":0}\n' % seq))
    time.sleep(600)


def prints_to_the_protocol(seq: int) -> None:
    os.write(OUT, b"Using \x1b[31mTensorFlow\x1b[0m backend.\n")


def floods_stdout(seq: int) -> None:
    while True:
        os.write(OUT, b"x" * 2**20)


def floods_stdout_with_lines(seq: int) -> None:
    while True:
        os.write(OUT, b"progress\n" * 2**16)


def floods_stderr(seq: int) -> None:
    while True:
        os.write(2, b"warning: this is deprecated\n" * 2**12)


def closes_stdout(seq: int) -> None:
    os.close(OUT)
    time.sleep(600)


def leaves_a_grandchild(seq: int) -> None:
    holds = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = subprocess.Popen(holds, pass_fds=[OUT])
    Path(os.environ["GRANDCHILD"]).write_text(str(child.pid), encoding="utf-8")
    os._exit(5)


class Hostile(conformance.Adapter):  # type: ignore[misc,name-defined]
    capabilities = conformance.Capabilities(
        ranks={1, 2}, dtypes={"float64"}, stride=True, arithmetic=conformance.Arithmetic()
    )

    def __init__(self, route: str = "") -> None:
        super().__init__(route)
        self.pending = ""

    def versions(self) -> dict[str, str]:
        return {"mode": sys.argv[1]}

    def forward(self, g: Any, x: Any, w: Any, b: Any) -> Any:
        self._misbehave(g)
        return np.zeros(g.y_shape)

    def backward(self, g: Any, x: Any, w: Any, b: Any, delta: Any) -> Any:
        self._misbehave(g)
        return x, np.zeros(g.w_shape), None if b is None else np.zeros(g.b_shape)

    def _misbehave(self, g: Any) -> None:
        """Now, or (late) in the call after."""
        mode, pending = sys.argv[1], self.pending
        self.pending = mode if g.stride[0] == 2 and mode.startswith("late") else ""
        if self.pending == "late_closed_input":
            threading.Thread(target=time.sleep, args=[600]).start()
            os.close(IN)  # it answers once more, and lives on
        if pending == "late_death":
            os._exit(7)
        if pending == "late_error":
            raise RuntimeError("an asynchronous error of the stream")
        if mode == "says_goodbye":
            atexit.register(sys.stdout.write, "profile: 1 call\n")
            atexit.register(time.sleep, 0.2)  # earlier than the line: it comes after the answer to bye
        if mode == "noisy":
            sys.stdout.write("Using TensorFlow backend.\n")
            subprocess.run(["echo", "a child prints too"], check=True)
        if g.stride[0] == 2 and mode in globals():
            globals()[mode](SERVED["seq"])


SERVED = {"seq": 0, "pid": os.getpid()}
answer = conformance.Server.answer


def noted(self: Any, message: Any) -> Any:
    SERVED["seq"] = message["seq"]
    return answer(self, message)


conformance.Server.answer = noted
conformance.serve(Hostile)
