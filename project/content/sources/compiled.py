"""The documentation of the standard library's compiled modules, which have no source code to read.

These are imported, and so is the Python module in front of each (`socket` before `_socket`), because only it knows
which names are public.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import types
import warnings
from collections.abc import Iterator
from importlib.machinery import BuiltinImporter, ExtensionFileLoader

from project.content.sources.documented import Documented, as_text
from project.content.sources.text import Text

# readline writes to the terminal when imported; _tkinter needs a display's libraries; the rest is for CPython's tests.
LEFT_OUT = {"readline", "_tkinter", "tkinter"}
LEFT_OUT_PREFIXES = ("_test", "_xx", "xx")
# The Python module in front, where it is not the compiled one's name without its underscore.
FRONTS = {"posix": "os", "nt": "os", "_pickle": "pickle", "_elementtree": "xml.etree.ElementTree"}

COMPILED_MEMBERS = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)


def texts() -> Iterator[Text]:
    """A text for each documented public name of a compiled module: "math.sqrt", "builtins.str.split", "os.open"."""
    for name, origins in sorted(_fronts().items()):
        yield from filter(None, map(as_text, _read(name, origins)))


def _fronts() -> dict[str, set[str]]:
    """Public module → the names that its compiled parts may give as their own module."""
    fronts: dict[str, set[str]] = {}
    for name in sys.stdlib_module_names:
        if name in LEFT_OUT or name.startswith(LEFT_OUT_PREFIXES) or not _is_compiled(name):
            continue
        front = FRONTS.get(name, name.removeprefix("_"))
        if front.partition(".")[0] in sys.stdlib_module_names - LEFT_OUT:
            fronts.setdefault(front, {front}).add(name)
    fronts["builtins"] |= {"io", "_io"}  # open()
    return fronts


def _is_compiled(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and (spec.loader is BuiltinImporter or isinstance(spec.loader, ExtensionFileLoader))


def _read(name: str, origins: set[str]) -> list[Documented]:
    """What the module documents; nothing where this Python or this system lacks it.

    In silence: some modules warn that they are deprecated, when they are imported or when they are looked into.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = importlib.import_module(name)
        except ImportError:
            return []
        return list(_documented(module, name, origins))


def _documented(module: types.ModuleType, home: str, origins: set[str]) -> Iterator[Documented]:
    yield Documented(home, "", "", module.__doc__ or "")
    for name, value in _public(module):
        if _module_of(value) not in origins:
            continue
        if isinstance(value, type):
            yield Documented(home, name, _signature(value), _docstring(value), is_class=True)
            for member, attribute in _members(value, origins - {home}):
                yield Documented(home, f"{name}.{member}", _signature(attribute), _docstring(attribute))
        elif isinstance(value, types.BuiltinFunctionType):
            yield Documented(home, name, _signature(value), _docstring(value))


def _members(cls: type, compiled: set[str]) -> Iterator[tuple[str, object]]:
    """Of a class and of the compiled one that it extends: `socket.socket` has its `connect` from `_socket.socket`."""
    for owner in [cls, *(base for base in cls.__mro__[1:] if _module_of(base) in compiled)]:
        for name, attribute in _public(owner):
            if isinstance(attribute, COMPILED_MEMBERS):
                yield name, attribute


def _public(owner: object) -> list[tuple[str, object]]:
    return sorted((name, value) for name, value in vars(owner).items() if not name.startswith("_"))


def _module_of(value: object) -> str | None:
    found = getattr(value, "__module__", None)
    return found if isinstance(found, str) else None


def _docstring(value: object) -> str:
    """Its own documentation (never an inherited one) without indentation, or ""."""
    docstring = getattr(value, "__doc__", None)
    return inspect.cleandoc(docstring) if isinstance(docstring, str) else ""


def _signature(value: object) -> str:
    """The parameters as a caller gives them; "" where the compiled code does not tell."""
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type]
    except Exception:  # It evaluates the defaults of compiled code, in which anything may be missing.
        return ""
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].name in {"self", "type"}:
        parameters = parameters[1:]
    return str(signature.replace(parameters=parameters))
