"""The wire protocol (PROTOCOL.md) for adapters in Python, in one file: Python >= 3.6 and numpy, nothing else.

Two ways to use it.  An adapter file as for `conformance run ./my_adapter.py`, in an interpreter of its own:

    python conformance_adapter.py my_adapter.py

There `from conformance import Adapter, Capabilities` works with or without that package: where it is not installed, this
file stands in for it.  Or a program that serves by itself:

    import conformance_adapter as conformance            # first of all: from here on, prints go to standard error

    class MyCNN(conformance.Adapter):
        capabilities = conformance.Capabilities(ranks={2}, dtypes={"float64"}, stride=True)

        def forward(self, g, x, w, b):
            return my_cnn.conv_forward(x, w, b, g.stride[0])

        def backward(self, g, x, w, b, delta):
            return my_cnn.conv_backward(x, w, b, delta, g.stride[0])     # dx, dw, db; None: not offered

    conformance.serve(MyCNN)
"""

import os
import sys


def _private():
    """(in, out): descriptors of the protocol's own; standard output is standard error from here on, whoever prints."""
    inward, outward = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    # a line at a time: what was printed before a crash is not lost in a buffer
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", buffering=1, errors="backslashreplace", closefd=False) for number in (1, 2)
    )
    return inward, outward


CHANNEL = _private() if __name__ in ("__main__", "conformance_adapter") else None

import difflib
import functools
import importlib
import importlib.util
import inspect
import json
import mmap
import traceback
import warnings

import numpy as np

PROTOCOL = 1
READS = {
    "forward": ("x", "w", "b"),
    "backward": ("x", "w", "b", "delta"),
    "transposed": ("x", "w", "b"),
    "transposed_backward": ("x", "w", "b", "delta"),
    "double_backward": ("x", "w", "b", "delta", "u", "v", "r"),
    "forward_mode": ("x", "w", "b", "u", "v", "r"),
}
GIVES = {
    "forward": ("y",),
    "backward": ("dx", "dw", "db"),
    "transposed": ("y",),
    "transposed_backward": ("dx", "dw", "db"),
    "double_backward": ("dx", "dw", "ddelta"),
    "forward_mode": ("dy",),
}
LARGE = 1 << 16
"""Bytes from which on a blob goes through shared memory."""


# ---- what an adapter is written with, where the package `conformance` is not installed ----
def _record(name, **defaults):
    """A class of named fields, frozen, for `dataclasses.replace` too where there is one."""
    try:
        import dataclasses
    except ImportError:  # Python 3.6

        def __init__(self, **said):  # noqa: N807
            unknown = sorted(set(said) - set(defaults))
            if unknown:
                raise TypeError("%s has no %s" % (name, ", ".join(unknown)))
            self.__dict__.update(defaults, **said)

        return type(name, (object,), {"__init__": __init__})
    fields = [(field, object, dataclasses.field(default=value)) for field, value in defaults.items()]
    return dataclasses.make_dataclass(name, fields, frozen=True)


_FEATURES = {
    "ranks": frozenset({2}),
    "dtypes": frozenset({"float64"}),
    "stride": False,
    "padding": "none",
    "dilation": False,
    "groups": False,
    "biases": frozenset({"none", "tied"}),
    "quantities": frozenset({"y", "dx", "dw", "db"}),
    "convention": "correlation",
    "x_layout": "NCHW",
    "w_layout": "OIHW",
    "empty_batch": False,
    "memories": frozenset({"c", "fortran", "sliced", "reversed", "channels-last", "broadcast"}),
    "network": None,
    "operations": frozenset(),
    "arithmetic": None,
}
Capabilities = _record("Capabilities", **_FEATURES)
Networks = _record(
    "Networks",
    activations=frozenset({"identity"}),
    costs=frozenset({"quadratic"}),
    ranks=frozenset({1, 2, 3}),
    step=False,
)
Arithmetic = _record(
    "Arithmetic",
    accumulator=None,
    inputs=None,
    partial_sums=None,
    truncates=False,
    flushes=False,
    algorithm="direct",
    tile=None,
)


class Unsupported(Exception):
    """Raised by an adapter that finds out only while computing that it does not offer a problem; say why."""


class Adapter(object):
    """Base of all adapters; README.md says what the methods return."""

    capabilities = Capabilities()
    routes = {}

    def __init__(self, route=""):
        self.route = route or next(iter(self.routes), "")

    def versions(self):
        return {}

    def unsupported(self, g, dtype):
        return None


class Geometry(object):
    """The numbers of one convolution layer; every field of an axis is a tuple."""

    def __init__(self, **fields):
        self.__dict__.update(fields)
        self.rank = len(self.size)
        axes = range(self.rank)
        self.kernel_reach = tuple(self.dilation[a] * (self.kernel[a] - 1) + 1 for a in axes)
        self.padded_size = tuple(self.size[a] + sum(self.padding[a]) for a in axes)
        spans = [(self.padded_size[a] - self.kernel_reach[a], self.stride[a]) for a in axes]
        self.output = tuple(span // s + 1 for span, s in spans)
        self.remainder = tuple(span % s for span, s in spans)
        self.kept = tuple(slice(max(-lo, 0), n - max(-hi, 0)) for n, (lo, hi) in zip(self.size, self.padding))
        self.inner = tuple(
            slice(max(lo, 0), n - max(hi, 0)) for n, (lo, hi) in zip(self.padded_size, self.padding)
        )
        self.x_shape = (self.batch, self.channels) + self.size
        self.w_shape = (self.maps, self.channels // self.groups) + self.kernel
        self.y_shape = (self.batch, self.maps) + self.output
        self.b_shape = {"none": None, "tied": (self.maps,), "untied": (self.maps,) + self.output}[self.bias]
        self.c_shape = None if self.bias == "none" else (self.channels,)

    def shape_of(self, name):
        """The shape of an operand or result."""
        like = {"delta": "y", "dx": "x", "dw": "w", "db": "b", "u": "x", "v": "w", "r": "b"}
        return getattr(self, like.get(name, name) + "_shape")

    def check(self, **operands):
        """Raise ValueError if an operand's shape is not the one this geometry gives."""
        for name, value in operands.items():
            shape = None if value is None else tuple(value.shape)
            if shape != self.shape_of(name):
                raise ValueError(
                    "%s has shape %s, but this geometry needs %s" % (name, shape, self.shape_of(name))
                )


class NetworkLayer(object):
    """One layer: a geometry and an activation."""

    def __init__(self, geometry, activation, slope):
        self.geometry, self.activation, self.slope = geometry, activation, slope
        self.below = {"relu": 0.0, "leaky": slope}.get(activation, 1.0)


class Network(object):
    """A stack of layers and a cost."""

    def __init__(self, layers, cost):
        self.layers, self.cost = layers, cost
        self.activations = tuple(layer.activation for layer in layers)


def _kit():
    """The package, or this file in its place."""
    try:
        import conformance
        import conformance.problem.network as networks

        return conformance, networks.NetworkLayer
    except Exception:
        sys.modules["conformance"] = sys.modules[__name__]
        return sys.modules[__name__], NetworkLayer


# ---- an adapter file ----
class Refusal(Exception):
    """An adapter that cannot be had: `kind` says whose fault it is (AdapterNotFound: the user's)."""

    def __init__(self, kind, text):
        Exception.__init__(self, kind, text)
        self.kind, self.text = kind, text


def load_class(path, kit):
    """The one subclass of Adapter that a file defines; or the class of entry:module:class."""
    if path.startswith("entry:"):
        return _entry_point(*path.split(":")[1:])
    path = os.path.abspath(path)
    name = "conformance_adapter_" + os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses in it look their module up
    sys.path.insert(0, os.path.dirname(path))  # an adapter may import its neighbours, now or later
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Refusal("AdapterBroken", "%s does not load: %s" % (os.path.basename(path), told(error, path)))
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, kit.Adapter) and value.__module__ == name
    ]
    found = [cls for cls in dict.fromkeys(found) if not cls.__name__.startswith("_")]
    if not found:
        raise Refusal(
            "AdapterNotFound",
            "%r defines no adapter: write a class that derives from conformance.Adapter" % path,
        )
    if len(found) > 1:
        names = ", ".join(cls.__name__ for cls in found)
        raise Refusal(
            "AdapterNotFound",
            "%r defines %d adapters (%s): keep one a file, or use routes" % (path, len(found), names),
        )
    return found[0]


def _entry_point(module, name):
    try:
        return functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except Exception as error:
        raise Refusal("AdapterBroken", "%s:%s does not load: %s" % (module, name, told(error)))


def told(error, path=None):
    """An exception in one line, with the line of the adapter's file that it came from."""
    if isinstance(error, SyntaxError):
        other = error.filename not in (None, path)
        elsewhere = " of %s" % os.path.basename(error.filename) if other else ""
        return "syntax error in line %s%s: %s: %s" % (
            error.lineno,
            elsewhere,
            error.msg,
            (error.text or "").strip(),
        )
    frames = [f for f in traceback.extract_tb(error.__traceback__) if path is None or f.filename == path]
    place = " (line %s: %s)" % (frames[-1].lineno, frames[-1].line) if path and frames else ""
    missing = ""
    if isinstance(error, ImportError) and error.name:
        missing = "; is %s installed in this environment?" % error.name.partition(".")[0]
    return "%s: %s%s%s" % (type(error).__name__, error, place, missing)


# ---- tensors ----
try:
    from ml_dtypes import bfloat16
except ImportError:
    bfloat16 = None
_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": bfloat16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}
TYPES = {name: np.dtype(of) for name, of in _TYPES.items() if of is not None}
NAMES = {dtype: name for name, dtype in TYPES.items()}


def tensors_of(blob):
    """The tensors of a blob, as views of it."""
    length = int.from_bytes(blob[:8], "little")
    header = _header(bytes(blob[8 : 8 + length]))
    return {
        name: np.frombuffer(blob, np.uint8, b - a, 8 + length + a)
        .view(TYPES[of["dtype"]])
        .reshape(of["shape"])
        for name, of in header.items()
        for a, b in [of["data_offsets"]]
    }


@functools.lru_cache(maxsize=1024)
def _header(text):
    return json.loads(text.decode())


def blob_of(tensors):
    """The pieces of the blob of some tensors."""
    header, end, pieces = {}, 0, []
    for name, a in tensors.items():
        a = np.ascontiguousarray(a).reshape(np.shape(a))
        header[name] = {"dtype": NAMES[a.dtype], "shape": a.shape, "data_offsets": (end, end + a.nbytes)}
        end += a.nbytes
        pieces.append(a.reshape(-1).view(np.uint8).data if a.size else b"")
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text] + pieces


def _sliced(a):
    steps = tuple(2 if axis in (1, a.ndim - 1) else 1 for axis in range(a.ndim))
    larger = np.full(tuple(n * s for n, s in zip(a.shape, steps)), np.nan, dtype=a.dtype)
    view = larger[tuple(slice(None, None, s) for s in steps)]
    view[...] = a
    return view


def laid_out(a, memory, axis=0):
    """A new array with the values of `a`, laid out as PROTOCOL.md says; axis: the one along which broadcast repeats."""
    if memory == "fortran":
        return a.copy(order="F")
    if memory == "sliced":
        return _sliced(a)
    if memory == "reversed":
        return np.flip(np.flip(a, tuple(range(a.ndim))).copy(order="C"), tuple(range(a.ndim)))
    if memory == "channels-last" and a.ndim > 1:
        return np.moveaxis(np.moveaxis(a, 1, -1).copy(order="C"), -1, 1)
    if memory == "broadcast":
        return np.broadcast_to(a[(slice(None),) * axis + (slice(1),)].copy(), a.shape)
    return a.copy(order="C")


def _same(a, b):
    """Bit for bit?"""
    if a.nbytes < 4096:
        return a.tobytes() == b.tobytes()
    bits = "u%d" % a.itemsize
    return np.array_equal(np.ascontiguousarray(a).view(bits), b.view(bits))


def _array(name, result):
    """A result as an array of numbers."""
    try:
        a = np.asarray(result)
    except (TypeError, ValueError):
        if hasattr(result, "__array__"):
            raise
        raise Refusal("AdapterBroken", "%s is %s, not a numpy array" % (name, _kind(result)))
    a = a.astype(a.dtype.newbyteorder("=")) if a.dtype.byteorder == ">" else a
    if a.dtype not in NAMES:
        raise Refusal(
            "AdapterBroken",
            "%s is %s of dtype %s, not an array of numbers" % (name, _kind(result), a.dtype),
        )
    return a


def _misfit(method, *by_place, **by_name):
    """What a method takes, if it cannot be called so; else None."""
    try:
        signature = inspect.signature(method, follow_wrapped=False)
    except (TypeError, ValueError):  # of native code
        return None
    try:
        signature.bind(*by_place, **by_name)
    except TypeError:
        bare = (p.replace(annotation=p.empty) for p in signature.parameters.values())
        return ", ".join(map(str, bare))
    return None


def _kind(value):
    kind = type(value).__name__
    return "%s of %d" % (kind, len(value)) if isinstance(value, (tuple, list)) else kind


# ---- serving ----
class Server(object):
    """Answers requests until the input ends or says bye."""

    def __init__(self, make, kit, layer, inward, outward):
        self.make, self.kit, self.layer = make, kit, layer
        self.inward, self.outward = os.fdopen(inward, "rb"), outward
        self.adapter, self.shared = None, None
        self.geometries = functools.lru_cache(maxsize=4096)(self._geometry)

    def serve(self):
        for line in self.inward:
            message = json.loads(line.decode())
            answer, tensors = self.answer(message)
            self.send(answer, message["seq"], tensors)
            if message["op"] == "bye":
                return

    def answer(self, message):
        """(answer, tensors) to a request; an exception is an answer."""
        try:
            blob = self.blob(message)
            op = message["op"]
            if op == "bye":
                return {"answer": "bye"}, None
            if op == "hello":
                return self.hello(message), None
            if op == "unsupported":
                return self.reason(message), None
            if op in READS:
                return self.layers(message, blob)
            if op in ("network", "step"):
                return self.network(message, blob)
            return {"answer": "unsupported", "reason": "this SDK knows no %s" % op}, None
        except KeyboardInterrupt:
            raise
        except self.kit.Unsupported as reason:
            return {"answer": "unsupported", "reason": str(reason)}, None
        except Refusal as refusal:
            return _error("adapter", refusal.kind, refusal.text, ""), None
        except BaseException as error:
            fault = self.adapters_fault(error)
            if fault:
                return _error("adapter", type(error).__name__, fault, ""), None
            return _error("implementation", type(error).__name__, str(error), _where(error)), None

    def adapters_fault(self, error):
        """Errors that only the wiring can cause: a missing method, an attribute that no Geometry has, an import."""
        name = type(self.adapter).__name__
        asked = getattr(error, "obj", None)  # from Python 3.10 on
        if isinstance(error, AttributeError) and isinstance(asked, self.kit.Geometry):
            return "%s asks a Geometry for %r, which it does not have (%s)" % (
                name,
                error.name,
                _where(error),
            )
        if isinstance(error, NotImplementedError) and str(error).startswith(name + " has no "):
            return "%s, though its capabilities declare its quantities" % error
        if isinstance(error, ImportError):
            return "%s: an import fails: %s (%s)" % (name, error, _where(error))
        return None

    # ---- the ops ----
    def hello(self, message):
        cls, route = self.make(), message["route"]
        if route and route not in cls.routes:
            near = difflib.get_close_matches(route, list(cls.routes), 1, 0.5)
            meant = " (did you mean %s?)" % near[0] if near else ""
            ways = ", ".join(cls.routes) or "none"
            raise Refusal(
                "AdapterNotFound", "%s has no route %r%s; it has %s" % (cls.__name__, route, meant, ways)
            )
        try:
            self.adapter = cls(route)
        except Exception as error:
            raise Refusal("AdapterBroken", "creating its adapter raises %s" % told(error))
        self.capabilities = self.adapter.capabilities
        missing = [name for name in ("ranks", "dtypes") if not hasattr(self.capabilities, name)]
        if missing:
            raise Refusal(
                "AdapterBroken", "its capabilities are %s, not Capabilities" % _kind(self.capabilities)
            )
        self.open_shared(message["shared"])
        return {
            "answer": "hello",
            "protocol": PROTOCOL,
            "name": cls.__name__,
            "versions": self.versions(),
            "language": "Python " + sys.version.split()[0],
            "routes": {str(k): str(v) for k, v in cls.routes.items()},
            "capabilities": _said(self.capabilities),
            "conditional": cls.unsupported is not self.kit.Adapter.unsupported,
            "spoils": True,
            "shared": self.shared is not None,
        }

    def versions(self):
        try:
            return {str(k): str(v) for k, v in self.adapter.versions().items()}
        except Exception as error:
            raise Refusal("AdapterBroken", "versions() raises %s: %s" % (type(error).__name__, error))

    def reason(self, message):
        g = self.geometry(message["geometry"])
        try:
            reason = self.adapter.unsupported(g, message["dtype"])
        except Exception as error:
            raise Refusal("AdapterBroken", "unsupported() raises %s: %s" % (type(error).__name__, error))
        if reason is not None and not isinstance(reason, str):
            raise Refusal(
                "AdapterBroken", "unsupported() must return a reason or None, it returned %r" % (reason,)
            )
        return {"answer": "reason", "reason": reason}

    def layers(self, message, blob):
        """One call of a layer: forward, backward, or an operation."""
        op, sent = message["op"], tensors_of(blob)
        handed = {
            name: laid_out(sent[name], message["memory"], self.repeated(name, sent[name].ndim))
            if name in sent
            else None
            for name in READS[op]
        }
        self.spoil(message)
        takes = "(%s), by these names" % ", ".join(("g",) + READS[op])
        results = self.asked(op, takes, self.geometry(message["geometry"]), **handed)
        names = GIVES[op]
        results = (results,) if len(names) == 1 else results
        if not isinstance(results, (tuple, list)) or len(results) != len(names):
            raise Refusal(
                "AdapterBroken",
                "%s must return (%s), None for what is not offered; it returned %s"
                % (op, ", ".join(names), _kind(results)),
            )
        arrays = {name: _array(name, r) for name, r in zip(names, results) if r is not None}
        there = {name: a for name, a in handed.items() if a is not None}
        answer = {
            "answer": "tensors",
            "modified": [name for name, a in there.items() if not _same(a, sent[name])],
            "aliased": [
                name
                for name, a in arrays.items()
                if a.size and any(np.may_share_memory(a, o) for o in there.values())
            ],
        }
        return answer, arrays

    def asked(self, op, takes, *by_place, **by_name):
        """What a method returns; if it cannot be called so, that is the adapter's fault."""
        method = self.method(op)
        try:
            return method(*by_place, **by_name)
        except TypeError:
            taken = _misfit(method, *by_place, **by_name)
            if taken is None:
                raise
            raise Refusal("AdapterBroken", "%s must take %s; it takes (%s)" % (op, takes, taken))

    def method(self, op):
        """What the adapter's class has for an op."""
        if not hasattr(self.adapter, op):
            raise NotImplementedError("%s has no %s" % (type(self.adapter).__name__, op))
        return getattr(self.adapter, op)

    def repeated(self, name, ndim):
        """The axis along which an operand in memory `broadcast` repeats: batch items of x, maps of w."""
        if name in ("b", "r"):
            return 0
        able = self.capabilities
        layout, first = (able.w_layout, "O") if name in ("w", "v") else (able.x_layout, "N")
        before = layout[: layout.index(first)]
        single = sum(letter in "NCOI" for letter in before)
        return single + (ndim - 2 if len(before) > single else 0)  # HW stands for any number of spatial axes

    def spoil(self, message):
        """Leave NaN in memory that the next allocations of these sizes are likely to get."""
        dtypes = (np.float64, bfloat16 if message["dtype"] == "bfloat16" else message["dtype"])
        for size in message["spoil"]:
            spoiled = [np.full(size, np.nan, dtype) for dtype in dtypes for _ in range(24)]
            spoiled.clear()

    def network(self, message, blob):
        sent = tensors_of(blob)
        net = self.kit.Network(
            layers=tuple(
                self.layer(
                    geometry=self.geometry(of["geometry"]), activation=of["activation"], slope=of["slope"]
                )
                for of in message["network"]["layers"]
            ),
            cost=message["network"]["cost"],
        )
        copies = {name: a.copy() for name, a in sent.items()}
        params = [(copies["w%d" % k], copies.get("b%d" % k)) for k in range(1, len(net.layers) + 1)]
        x, target = copies["x"], copies["target"]
        if message["op"] == "step":
            moved = self.asked(
                "step", "(net, x, target, params, rate)", net, x, target, params, message["rate"]
            )
            return self.whole(_pairs("params", net, moved, "w", "b"))
        results = self.asked("network", "(net, x, target, params)", net, x, target, params)
        if not isinstance(results, (tuple, list)) or len(results) != 3:
            raise Refusal(
                "AdapterBroken",
                "network must return (cost, deltas, gradients), not %s" % _kind(results),
            )
        cost, deltas, gradients = results
        _counted("deltas", net, deltas)
        named = {"cost": cost}
        named.update(("delta%d" % k, delta) for k, delta in enumerate(deltas, 1))
        named.update(_pairs("gradients", net, gradients, "dw", "db"))
        return self.whole(named)

    @staticmethod
    def whole(named):
        """The answer with all that a network gave."""
        return {"answer": "tensors", "modified": [], "aliased": []}, {
            name: _array(name, a) for name, a in named.items() if a is not None
        }

    def geometry(self, of):
        return self.geometries(json.dumps(of))

    def _geometry(self, text):
        of = json.loads(text)
        del of["output"]
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in of.items()}
        fields["padding"] = tuple((lo, hi) for lo, hi in of["padding"])
        return self.kit.Geometry(**fields)

    # ---- bytes ----
    def open_shared(self, descriptors):
        """The files that the other side offers, if they can be had."""
        try:
            self.shared = descriptors and tuple(Shared(descriptor) for descriptor in descriptors)
        except OSError:
            self.shared = None

    def blob(self, message):
        if message.get("where") == "shared":
            return self.shared[0].read(message["bytes"])
        blob = bytearray(message["bytes"])
        if self.inward.readinto(blob) != len(blob):
            sys.exit(0)  # the input ended
        return memoryview(blob)

    def send(self, answer, seq, tensors):
        pieces = [] if tensors is None else blob_of(tensors)
        size = sum(map(len, pieces))
        answer.update(seq=seq, bytes=size)
        if tensors is not None:
            answer["where"] = "shared" if self.shared and size >= LARGE else "pipe"
            if answer["where"] == "shared":
                self.shared[1].write(pieces, size)
                pieces = []
        line = json.dumps(answer, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        left = memoryview(b"".join([line] + pieces))
        while left:
            left = left[os.write(self.outward, left) :]


class Shared(object):
    """A file in memory that two processes have."""

    def __init__(self, descriptor):
        self.descriptor, self.size, self.map = descriptor, 0, None
        os.fstat(descriptor)

    def read(self, size):
        """Its first `size` bytes, as a view."""
        self.grown(size)
        return memoryview(self.map)[:size]

    def write(self, pieces, size):
        if os.fstat(self.descriptor).st_size < size:
            os.ftruncate(self.descriptor, size)
        self.grown(size)
        end = 0
        for piece in pieces:
            self.map[end : end + len(piece)] = piece
            end += len(piece)

    def grown(self, size):
        if size > self.size:  # views of the old map keep it
            self.size = os.fstat(self.descriptor).st_size
            self.map = mmap.mmap(self.descriptor, self.size)


def _counted(what, net, values):
    if not isinstance(values, (tuple, list)) or len(values) != len(net.layers):
        raise Refusal(
            "AdapterBroken",
            "%s must be a list of one a layer (%d), not %s" % (what, len(net.layers), _kind(values)),
        )


def _pairs(what, net, pairs, of_w, of_b):
    """The two of each layer, named w1, b1, ...; b where there is a bias."""
    _counted(what, net, pairs)
    named = {}
    for k, (pair, layer) in enumerate(zip(pairs, net.layers), 1):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise Refusal(
                "AdapterBroken",
                "%s of layer %d must be a pair (of w, of b), not %s" % (what, k, _kind(pair)),
            )
        if pair[0] is None or (pair[1] is None) != (layer.geometry.bias == "none"):
            raise Refusal(
                "AdapterBroken",
                "%s of layer %d must have an array of w, and one of b if there is a bias (bias=%s), else None"
                % (what, k, layer.geometry.bias),
            )
        named["%s%d" % (of_w, k)], named["%s%d" % (of_b, k)] = pair
    return named


def _error(fault, kind, text, where):
    line = " ".join(text.split())
    line = line if len(line) <= 300 else line[:297] + "..."
    return {"answer": "error", "fault": fault, "type": kind, "text": line, "traceback": where}


def _where(error):
    """file:line of the innermost frame."""
    frames = traceback.extract_tb(error.__traceback__)
    return "%s:%s" % (frames[-1].filename, frames[-1].lineno) if frames else ""


_LONG = {"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16"}


def _said(capabilities):
    """Capabilities as the protocol writes them."""
    said = {}
    for name in _FEATURES:
        value = getattr(capabilities, name)
        said[name] = sorted(value) if isinstance(value, (set, frozenset, tuple, list)) else value
    said["dtypes"] = [_LONG.get(d, d) for d in said["dtypes"]]
    if said["network"] is not None:
        of = said["network"]
        said["network"] = {"step": of.step}
        said["network"].update((n, sorted(getattr(of, n))) for n in ("activations", "costs", "ranks"))
    said["arithmetic"] = _classes(said["arithmetic"], said["dtypes"])
    return said


def _classes(given, dtypes):
    """dtype -> quantity -> arithmetic class; None where none is declared."""
    if not given:
        return None
    if not hasattr(given, "items"):
        given = dict.fromkeys(dtypes, given)
    classes = {}
    for dtype, of in given.items():
        of = of if hasattr(of, "items") else dict.fromkeys(("y", "dx", "dw", "db"), of)
        classes[_LONG.get(dtype, dtype)] = {quantity: dict(vars(one)) for quantity, one in of.items()}
    return classes


def _end_with_parent():
    """Where the system can do it: be killed when the process that asks is, even in the middle of a call."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, 9)
    except Exception:  # another system: the end of the input is the end
        pass


def serve(cls_or_path):
    """Serve an adapter: its class, or the file that defines it."""
    _end_with_parent()
    inward, outward = CHANNEL
    kit, layer = _kit()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    make = (
        functools.partial(load_class, cls_or_path, kit)
        if isinstance(cls_or_path, str)
        else lambda: cls_or_path
    )
    Server(make, kit, layer, inward, outward).serve()


if __name__ == "__main__":
    sys.path.pop(0)  # this file's folder is not the adapter's
    serve(sys.argv[1])
