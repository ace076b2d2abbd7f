"""From what a user wrote to an adapter.  Adapters here are files that the tests write."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conformance import Adapter
from conformance.adapter.connect import connect, load_class, process_of
from conformance.errors import AdapterBroken, AdapterNotFound, NoEnvironment

Write = Callable[..., Path]

PLAIN = """
    from conformance import Adapter

    class Mine(Adapter):
        '''An adapter that declares the least.'''
"""
ROUTED = """
    from conformance import Adapter

    class Mine(Adapter):
        routes = {"fast": "by matrix products", "slow": "by loops"}
"""


@pytest.fixture(autouse=True)
def _imports_are_put_back() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str, name: str = "my_adapter.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return written


def sentence(target: str, kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        connect(target)
    return str(caught.value)


# ---- bundled ----
def test_a_bundled_adapter_is_connected_by_its_name() -> None:
    session = connect("python-numpy")
    assert session.name == "python-numpy"
    assert type(session.adapter).__name__ == "NumPy"
    assert 2 in session.capabilities.ranks


def test_a_name_that_is_nearly_one_is_asked_about() -> None:
    told = sentence("python-nunpy", AdapterNotFound)
    assert told.startswith(
        "no adapter is called 'python-nunpy' (did you mean python-numpy?); `conformance list` shows all"
    )
    assert told.endswith(
        "a file is given as ./python-nunpy.py, a folder with an adapter.toml as ./python-nunpy"
    )


def test_a_name_that_is_nothing_like_one_is_not() -> None:
    assert sentence("zzz", AdapterNotFound).startswith("no adapter is called 'zzz'; `conformance list`")


def test_an_unknown_name_is_the_users_fault() -> None:
    with pytest.raises(AdapterNotFound) as caught:
        connect("zzz")
    assert (caught.value.fault, caught.value.exit_code) == ("user", 2)


# ---- routes ----
def test_a_route_is_chosen_by_name_and_the_first_is_the_default(write: Write) -> None:
    path = write(ROUTED)
    assert connect(f"{path}").adapter.route == "fast"
    session = connect(f"{path}:slow")
    assert (session.adapter.route, session.name) == ("slow", f"{path}:slow")


def test_an_unknown_route_names_those_that_there_are(write: Write) -> None:
    path = write(ROUTED)
    assert sentence(f"{path}:slwo", AdapterNotFound) == (
        "Mine has no route 'slwo' (did you mean slow?); it has fast, slow"
    )
    assert connect(f"{path}:").adapter.route == "fast"


def test_a_route_of_an_adapter_without_any_is_unknown(write: Write) -> None:
    assert sentence(f"{write(PLAIN)}:fast", AdapterNotFound) == "Mine has no route 'fast'; it has none"
    assert "NumPy has no route 'fast'" in sentence("python-numpy:fast", AdapterNotFound)


# ---- files ----
@pytest.mark.parametrize(
    "name",
    [
        "my_adapter.py",
        "my-adapter.py",
        "go-cnn/adapter_cnn.py",
        "with space/a b.py",
        "torch/adapter_torch.py",
    ],
)
def test_a_file_is_connected_whatever_its_name_and_folder(write: Write, name: str) -> None:
    path = write(PLAIN, name)
    session = connect(str(path))
    assert (type(session.adapter).__name__, session.name) == ("Mine", str(path))


def test_a_file_may_be_given_relative_to_here(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(ROUTED)
    monkeypatch.chdir(path.parent)
    assert connect("./my_adapter.py:slow").adapter.route == "slow"
    assert connect("my_adapter.py").adapter.route == "fast"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "missing.py"
    assert sentence(str(missing), AdapterNotFound) == f"there is no file {str(missing)!r}"
    assert sentence("./missing.py", AdapterNotFound) == "there is no file 'missing.py'"


def test_a_folder_without_a_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (str(tmp_path), "./", "."):
        assert sentence(folder, AdapterNotFound) == f"there is no adapter.toml in {folder!r}"


def test_the_folder_where_one_stands_is_a_folder(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(ROUTED, "python-my/my_adapter.py")
    monkeypatch.chdir(write(PYTHON, "python-my/adapter.toml").parent)
    assert connect(".:slow").adapter.route == "slow"


def test_two_files_of_one_name_are_two_adapters(write: Write) -> None:
    first, second = write(PLAIN, "a/adapter_x.py"), write(PLAIN.replace("Mine", "Yours"), "b/adapter_x.py")
    assert [type(connect(str(p)).adapter).__name__ for p in (first, second)] == ["Mine", "Yours"]


def test_a_file_is_loaded_once(write: Write) -> None:
    path = write(PLAIN)
    assert load_class(path) is load_class(path)


def test_a_dataclass_in_an_adapters_file_works(write: Write) -> None:
    """It looks its module up in sys.modules while the file is executed."""
    path = write("""
        from __future__ import annotations
        from dataclasses import dataclass
        from conformance import Adapter

        @dataclass
        class Settings:
            tile: int = 4

        class Mine(Adapter):
            settings = Settings()
    """)
    assert connect(str(path)).adapter.settings.tile == 4  # type: ignore[attr-defined]


def test_neighbours_of_a_file_can_be_imported_at_once_and_later(write: Write) -> None:
    write("ANSWER = 42\n", "neighbour_of_mine.py")
    write("ANSWER = 43\n", "late_neighbour_of_mine.py")
    path = write("""
        import neighbour_of_mine
        from conformance import Adapter

        class Mine(Adapter):
            answer = neighbour_of_mine.ANSWER

            def versions(self):
                import late_neighbour_of_mine
                return {"late": str(late_neighbour_of_mine.ANSWER)}
    """)
    adapter = connect(str(path)).adapter
    assert (adapter.answer, adapter.versions()) == (42, {"late": "43"})  # type: ignore[attr-defined]


# ---- which class ----
def test_a_file_without_an_adapter_says_what_to_write(write: Write) -> None:
    path = write("from conformance import Adapter\n\nclass Mine:\n    pass\n")
    assert sentence(str(path), AdapterNotFound) == (
        f"{str(path)!r} defines no adapter: write a class that derives from conformance.Adapter"
    )


def test_a_file_with_two_adapters_names_them(write: Write) -> None:
    path = write("from conformance import Adapter\n\nclass A(Adapter): pass\nclass B(Adapter): pass\n")
    assert sentence(str(path), AdapterNotFound) == (
        f"{str(path)!r} defines 2 adapters (A, B): keep one a file, or use routes"
    )


def test_a_private_base_is_not_counted(write: Write) -> None:
    path = write("from conformance import Adapter\n\nclass _Base(Adapter): pass\nclass Mine(_Base): pass\n")
    assert load_class(path).__name__ == "Mine"


def test_an_imported_adapter_is_not_counted(write: Write) -> None:
    write(PLAIN.replace("Mine", "Base"), "base_of_mine.py")
    path = write("from base_of_mine import Base\n\nclass Mine(Base): pass\n")
    assert load_class(path).__name__ == "Mine"


def test_two_names_of_one_adapter_are_one(write: Write) -> None:
    path = write("from conformance import Adapter\n\nclass Mine(Adapter): pass\n\nDefault = Mine\n")
    assert load_class(path).__name__ == "Mine"


# ---- files that do not load ----
def broken(write: Write, text: str) -> str:
    path = write(text)
    with pytest.raises(AdapterBroken) as caught:
        connect(str(path))
    assert (caught.value.fault, caught.value.exit_code) == ("adapter", 3)
    assert not [name for name in sys.modules if name.startswith("conformance_adapter_my_adapter")]
    return str(caught.value)


def test_a_syntax_error_has_its_line(write: Write) -> None:
    told = broken(write, "from conformance import Adapter\n\nclass Mine(Adapter)\n    pass\n")
    assert told == "my_adapter.py does not load: syntax error in line 3: expected ':': class Mine(Adapter)"


def test_a_file_in_another_encoding_does_not_load(tmp_path: Path) -> None:
    path = tmp_path / "my_adapter.py"
    path.write_bytes(b"NAME = 'caf\xe9'\n")
    assert sentence(str(path), AdapterBroken).startswith("my_adapter.py does not load: ")


def test_a_library_that_is_not_installed_is_named(write: Write) -> None:
    told = broken(write, "from conformance import Adapter\nimport no_such_cnn.layers\n")
    assert told == (
        "my_adapter.py does not load: ModuleNotFoundError: No module named 'no_such_cnn' "
        "(line 2: import no_such_cnn.layers); is no_such_cnn installed in this environment?"
    )


def test_a_name_that_a_library_does_not_have(write: Write) -> None:
    told = broken(write, "from conformance import Adapter, Capability\n")
    assert (
        "my_adapter.py does not load: ImportError: cannot import name 'Capability' from 'conformance'" in told
    )
    assert "(line 1: from conformance import Adapter, Capability)" in told


def test_an_error_in_a_function_points_at_the_adapters_own_line(write: Write) -> None:
    told = broken(write, "import json\n\nsettings = json.loads('{')\n")
    assert told.endswith("(line 3: settings = json.loads('{'))")
    assert told.startswith("my_adapter.py does not load: JSONDecodeError: ")


def test_nonsense_in_capabilities_stops_the_file_with_its_own_sentence(write: Write) -> None:
    told = broken(
        write,
        """
        from conformance import Adapter, Capabilities

        class Mine(Adapter):
            capabilities = Capabilities(padding="same")
    """,
    )
    assert "Capabilities(padding='same'): it must be one of none, symmetric, asymmetric, negative" in told
    assert '(line 4: capabilities = Capabilities(padding="same"))' in told


def test_a_file_that_exits_does_not_end_the_program(write: Write) -> None:
    assert broken(write, "import sys\nsys.exit('goodbye')\n").startswith(
        "my_adapter.py does not load: SystemExit: goodbye (line 2"
    )


def test_an_interrupt_while_loading_is_nobodys_fault(write: Write) -> None:
    path = write("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        connect(str(path))


def test_a_mended_file_loads_after_all(write: Write) -> None:
    path = write("1 / 0\n")
    assert "ZeroDivisionError: division by zero (line 1: 1 / 0)" in sentence(str(path), AdapterBroken)
    path = write(PLAIN, "my_adapter.py")
    assert load_class(path).__name__ == "Mine"


def test_an_adapter_that_cannot_be_created(write: Write) -> None:
    path = write("""
        from conformance import Adapter

        class Mine(Adapter):
            def __init__(self, route=""):
                raise RuntimeError("no device")
    """)
    assert (
        sentence(str(path), AdapterBroken) == f"{path}: creating its adapter raises RuntimeError: no device"
    )


def test_an_adapter_whose_capabilities_depend_on_the_route(write: Write) -> None:
    path = write("""
        from conformance import Adapter, Capabilities

        class Mine(Adapter):
            routes = {"one": "", "three": ""}

            @property
            def capabilities(self):
                return Capabilities(ranks={1} if self.route == "one" else {3})
    """)
    assert connect(f"{path}").capabilities.ranks == {1}
    assert connect(f"{path}:three").capabilities.ranks == {3}


def test_capabilities_that_are_none_are_the_adapters_fault(write: Write) -> None:
    path = write("""
        from conformance import Adapter

        class Mine(Adapter):
            capabilities = {"ranks": {2}}
    """)
    with pytest.raises(AdapterBroken, match="capabilities"):
        connect(str(path))


def test_a_capability_property_that_declares_nonsense_keeps_its_sentence(write: Write) -> None:
    path = write("""
        from conformance import Adapter, Capabilities

        class Mine(Adapter):
            @property
            def capabilities(self):
                return Capabilities(ranks={7})
    """)
    assert (
        sentence(str(path), AdapterBroken) == "Capabilities(ranks={7}): it must be a non-empty set of 1, 2, 3"
    )


# ---- entry points ----
@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A distribution on sys.path that offers entry points, as pip would leave it there."""

    def install(entry_points: str, module: str) -> None:
        info = tmp_path / "fake_cnn-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: fake-cnn\nVersion: 1.0\n", encoding="utf-8"
        )
        (info / "entry_points.txt").write_text(f"[conformance.adapters]\n{entry_points}\n", encoding="utf-8")
        (tmp_path / "fake_cnn_adapter.py").write_text(textwrap.dedent(module), encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


Install = Callable[[str, str], None]


def test_an_entry_point_is_connected_by_name_with_or_without_its_prefix(installed: Install) -> None:
    installed("fake-cnn = fake_cnn_adapter:Mine", ROUTED)
    assert connect("entry:fake-cnn").adapter.route == "fast"
    assert connect("fake-cnn").adapter.route == "fast"
    session = connect("entry:fake-cnn:slow")
    assert (session.adapter.route, session.name) == ("slow", "entry:fake-cnn:slow")
    assert connect("fake-cnn:slow").adapter.route == "slow"


def test_the_name_of_an_entry_point_is_guessed_too(installed: Install) -> None:
    installed("fake-cnn = fake_cnn_adapter:Mine", ROUTED)
    assert sentence("entry:fake-cmn", AdapterNotFound) == (
        "no entry point 'fake-cmn' in group conformance.adapters (did you mean fake-cnn?)"
    )
    assert "(did you mean fake-cnn?)" in sentence("fake-cmn", AdapterNotFound)


def test_an_entry_point_that_does_not_load(installed: Install) -> None:
    installed(
        "fake-cnn = fake_cnn_adapter:Mine\nother = fake_cnn_adapter:Yours\nthird = no_such_module:A", PLAIN
    )
    assert sentence("entry:other", AdapterBroken).startswith(
        "entry point 'other' (fake_cnn_adapter:Yours) does not load: AttributeError: "
    )
    told = sentence("third", AdapterBroken)
    assert told.startswith("entry point 'third' (no_such_module:A) does not load: ModuleNotFoundError")
    assert told.endswith("; is no_such_module installed in this environment?")


def test_an_entry_point_that_is_no_adapter(installed: Install) -> None:
    installed("fake-cnn = fake_cnn_adapter:mine\nwhole = fake_cnn_adapter\nint = builtins:int", "mine = 42\n")
    for name, what in (("fake-cnn", "42"), ("int", "<class 'int'>")):
        assert sentence(f"entry:{name}", AdapterBroken) == (
            f"entry point {name!r} is {what}, not a subclass of conformance.Adapter"
        )
    assert sentence("entry:whole", AdapterBroken).endswith("not a subclass of conformance.Adapter")


def test_a_bundled_adapter_goes_before_an_entry_point_of_its_name(installed: Install) -> None:
    installed("python-numpy = fake_cnn_adapter:Mine", PLAIN)
    assert type(connect("python-numpy").adapter).__name__ == "NumPy"
    assert type(connect("entry:python-numpy").adapter).__name__ == "Mine"


def test_what_comes_back_is_an_adapter(write: Write) -> None:
    assert isinstance(connect(str(write(PLAIN))).adapter, Adapter)


# ---- folders with a manifest ----
PYTHON = 'language = "python"\nsummary = "s"\nstart = ["my_adapter.py"]\n'
NEEDS = '[environment]\nrequirements = ["no-such-package==1.0"]\n'
BUILT = 'language = "other"\nsummary = "s"\nstart = ["./adapter"]\n[routes]\nfast = "f"\n'


@pytest.fixture
def _no_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("_no_environments")
@pytest.mark.parametrize("needs", ["", NEEDS])
def test_a_folder_is_connected_by_its_manifest(write: Write, needs: str) -> None:
    folder = write(ROUTED, "python-my/my_adapter.py").parent
    write(PYTHON + needs, "python-my/adapter.toml")
    session = connect(f"{folder}:slow")
    assert (session.name, type(session.adapter).__name__, session.adapter.route) == (
        f"{folder}:slow",
        "Mine",
        "slow",
    )


@pytest.mark.usefixtures("_no_environments")
@pytest.mark.parametrize("in_process", [True, False])
def test_what_is_built_is_no_file_to_import_and_has_to_be_built_first(write: Write, in_process: bool) -> None:
    folder = write(BUILT, "other-my/adapter.toml").parent
    for route in ("", ":fast"):
        with pytest.raises(NoEnvironment) as caught:
            connect(f"{folder}{route}", in_process=in_process)
        assert str(caught.value) == f"other-my has not been built: conformance env create {folder}"
    told = sentence(f"{folder}:fats", AdapterNotFound)
    assert told == "other-my has no route 'fats' (did you mean fast?); it has fast"


def test_where_processes_cannot_be_asked_python_is_asked_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from conformance import Adapter\n\nclass Mine(Adapter):\n    pass\n", encoding="utf-8")
    assert process_of(str(file)) is not None
    monkeypatch.setattr("conformance.adapter.connect.POSIX", False)
    monkeypatch.setattr("conformance.adapter.process.POSIX", False)
    assert process_of(str(file)) is None
    with pytest.raises(
        AdapterBroken, match="'echo' cannot be asked: processes of their own need a POSIX system"
    ):
        connect("cmd:echo hello")
