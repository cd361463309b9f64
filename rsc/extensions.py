"""Code from outside: one loader for features, metrics, rewards, networks and baselines.

A reference has one of three forms: the name of an entry point that an installed package
registered, ``package.module:function``, and ``file.py:function`` of a file beside the run
file. The process that reads the run file reads such a file once. From then on its *text*
travels (`Sources`): any process that unpickles it can import the file's module, so Ray
workers and pods need no file, and the working folder is never put on the import path.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, entry_points, packages_distributions, version
from pathlib import Path
from types import CodeType
from typing import Any

from pydantic import BaseModel

from rsc.errors import UserError

FOLDER_VARIABLE = "RSC_EXTENSIONS_DIR"
"""Environment variable: a folder that is searched for ``file.py`` after the run file's own."""

KINDS = ("feature", "metric", "reward", "network", "baseline")
"""What can come from outside; a package registers each in entry point group ``rsc.KINDs``."""

FORMS = "an entry point, package.module:function or file.py:function"
"""How a reference may look, for descriptions of settings and for errors."""

_FILE = re.compile(r"([A-Za-z_]\w*)\.py")
_MODULE_PREFIX = "rsc_extension_"


@dataclass(frozen=True, slots=True)
class Reference:
    """Annotation of a setting that names code from outside: ``Annotated[str, Reference(KIND)]``.

    `references_in` finds such settings in any model, so that a new one is named in the
    run's row and shipped with the run without another line.
    """

    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """Which code a reference stood for: what a run's row says of it."""

    kind: str
    """One of `KINDS`."""
    reference: str
    """As the run file says it."""
    origin: str
    """The file's name, or the module's full name."""
    version: str | None
    """Of the installed package; None for a file and for a module of no package."""
    sha256: str | None
    """Of the source file, 64 hexadecimal digits; None where a module has no file."""


class Sources(dict[str, str]):
    """Texts of files by name; whoever unpickles it can load what the files define."""

    def __reduce__(self) -> tuple[Callable[..., Sources], tuple[dict[str, str]]]:
        """Register wherever it arrives, before anything that was made from it."""
        return register_sources, (dict(self),)


# Latest text of each file, and all modules that were ever made of one in this process.
_TEXTS: dict[str, str] = {}
_MODULES: dict[str, tuple[str, str]] = {}


def register_sources(sources: Mapping[str, str]) -> Sources:
    """Make files known to this process by their text; a later text of a name replaces it."""
    for name, text in sources.items():
        _TEXTS[name] = text
        _MODULES[_module_name(name, text)] = (name, text)
    return Sources(sources)


def read_sources(references: Iterable[str], folder: Path | None) -> Sources:
    """Read and register the files that references name, each once.

    Parameters
    ----------
    references : iterable of str
        Of any form; those that name no file are passed over.
    folder : Path or None
        Where the run file lies. None where there is no run file (a stored configuration):
        then a file that ``RSC_EXTENSIONS_DIR`` does not hold is left for `load_extension`
        to miss, because whoever only looks at a run needs none of them.

    Raises
    ------
    UserError
        `folder` was given, and a file is neither there nor in ``RSC_EXTENSIONS_DIR``.
    """
    names = dict.fromkeys(reference.partition(":")[0] for reference in references)
    found = {}
    for name in filter(_is_file, names):
        text = _read(name, folder)
        if text is None and folder is None:
            text = _TEXTS.get(name)
        if text is not None:
            found[name] = text
        elif folder is not None:
            raise _file_missing(name, str(folder / name))
    return register_sources(found)


def load_extension(kind: str, reference: str) -> Any:
    """Return the function or class that a reference names.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    reference : str
        An entry point's name, ``package.module:function`` or ``file.py:function``.

    Raises
    ------
    UserError
        File, package or name is missing, its code failed, or it cannot be called.
    """
    found = _resolve(kind, reference)
    try:
        loaded = found.load()
    except SyntaxError as error:
        file = Path(error.filename or found.module).name.partition("@")[0]
        told = f"was not Python: line {error.lineno} of {file}: {error.msg}"
        raise _failed(kind, reference, told) from error
    except Exception as error:
        raise _failed(kind, reference, _reason(found, error)) from error
    if not callable(loaded):
        raise _failed(kind, reference, f"was a {type(loaded).__name__}, must be callable")
    return loaded


def describe_extension(kind: str, reference: str) -> Extension:
    """Load what a reference names, and say which code it is.

    Raises
    ------
    UserError
        As `load_extension`.
    """
    load_extension(kind, reference)
    found = _resolve(kind, reference)
    return Extension(
        kind=kind,
        reference=reference,
        origin=_origin(found),
        version=_version(found),
        sha256=_source_sha256(found.module),
    )


def references_in(model: BaseModel) -> tuple[tuple[str, str], ...]:
    """Return kind and text of every setting that is annotated with `Reference`, in order."""
    return tuple(dict.fromkeys(_references(model)))


def _references(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            below = getattr(value, name)
            kinds = [mark.kind for mark in field.metadata if isinstance(mark, Reference)]
            if kinds and isinstance(below, str):
                yield kinds[0], below
            else:
                yield from _references(below)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _references(item)


class _SourceImporter(MetaPathFinder, InspectLoader):
    """Imports modules of registered files: pickles and tracebacks treat them as any other."""

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Return the spec of a registered module; None leaves it to other importers."""
        return ModuleSpec(fullname, self) if fullname in _MODULES else None

    def get_source(self, fullname: str) -> str:
        """Return the text; also `linecache` asks, for the lines of a traceback."""
        return _MODULES[fullname][1]

    def get_code(self, fullname: str) -> CodeType:
        """Compile under a name of no file on disk, which `linecache` would prefer to the text."""
        name, text = _MODULES[fullname]
        return self.source_to_code(text, f"{name}@{_sha256(text)[:8]}")


sys.meta_path.append(_SourceImporter())


def _resolve(kind: str, reference: str) -> EntryPoint:
    """Return a reference of any form as the entry point it is short for."""
    module, colon, _ = reference.partition(":")
    if not colon:
        return _registered(kind, reference)
    if not module.endswith(".py"):
        if not all(part.isidentifier() for part in reference.replace(":", ".").split(".")):
            raise _failed(kind, reference, f"was no name{_forms(_group(kind))}")
        return EntryPoint(reference, reference, _group(kind))
    if not _is_file(module):
        told = f"file was {module!r}, must be the name of a file beside the run file: letters, "
        raise _failed(kind, reference, told + "digits and _ before .py")
    if module not in _TEXTS:
        text = _read(module, None)
        if text is None:
            raise _file_missing(module, module)
        register_sources({module: text})
    name = _module_name(module, _TEXTS[module])
    return EntryPoint(reference, f"{name}:{reference.partition(':')[2]}", _group(kind))


def _reason(found: EntryPoint, error: Exception) -> str:
    """Say why the code of a reference could not be had."""
    if isinstance(error, AttributeError) and found.module in sys.modules:
        return f"was not found ({_origin(found)} has no {found.attr}){_forms(found.group)}"
    if isinstance(error, ImportError):
        return f"was not found ({error}){_forms(found.group)}"
    return f"failed on import with {type(error).__name__}: {error}"


def _origin(found: EntryPoint) -> str:
    """Return the file or module a person knows."""
    return _MODULES[found.module][0] if found.module in _MODULES else found.module


def _registered(kind: str, name: str) -> EntryPoint:
    """Return what an installed package registered under that name."""
    group = entry_points(group=_group(kind))
    if name not in group.names:
        known = ", ".join(sorted(group.names)) or "none"
        told = f"was not found (registered are: {known}){_forms(_group(kind))}"
        raise _failed(kind, name, told)
    return group[name]


def _read(name: str, folder: Path | None) -> str | None:
    """Return the text of a file beside the run file, or else in ``RSC_EXTENSIONS_DIR``."""
    variable = os.environ.get(FOLDER_VARIABLE)
    for place in (folder, Path(variable) if variable else None):
        try:
            if place is not None:
                return (place / name).read_bytes().decode()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{place}/{name}: was not readable ({error}), must be UTF-8") from error
    return None


def _file_missing(name: str, where: str) -> UserError:
    return UserError(
        f"{where}: was not found, must be a file beside the run file or in {FOLDER_VARIABLE}",
        f"Put {name} beside the run file, or set {FOLDER_VARIABLE} to the folder that holds it.",
    )


def _failed(kind: str, reference: str, told: str) -> UserError:
    return UserError(f"{kind.replace('_', ' ')} {reference!r} {told}")


def _forms(group: str) -> str:
    return f", must be {FORMS} (entry point group {group})"


def _group(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"kind was {kind!r}, must be one of {', '.join(KINDS)}")
    return f"rsc.{kind}s"


def _is_file(name: str) -> bool:
    return _FILE.fullmatch(name) is not None


def _module_name(name: str, text: str) -> str:
    return f"{_MODULE_PREFIX}{name.removesuffix('.py')}_{_sha256(text)[:16]}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _version(found: EntryPoint) -> str | None:
    if found.dist is not None:
        return found.dist.version
    owners = packages_distributions().get(found.module.partition(".")[0])
    return version(owners[0]) if owners else None


def _source_sha256(module: str) -> str | None:
    if module in _MODULES:
        return _sha256(_MODULES[module][1])
    file = getattr(import_module(module), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None
