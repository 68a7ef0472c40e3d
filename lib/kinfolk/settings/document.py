"""The page docs/settings.md, made from the settings tree."""

from __future__ import annotations

import inspect
import typing
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from kinfolk.settings.section import Section
from kinfolk.settings.tree import Settings

_HEAD = """# Settings

Generated from the settings tree by `make docs`; do not edit.

A settings file is YAML with these sections; a setting left out has its default. Every job takes the file with
`--settings FILE` and single settings with `--set section.field=value`. Unknown names are refused. In paths `~`,
`${NAME}` and `${NAME:-default}` are replaced by the home folder and the environment; secrets belong there and nowhere
else. What spark-submit was given wins over the file, and the file over the defaults.
"""


def document_settings() -> str:
    """The whole page, section after section."""
    page = [_HEAD]
    for name, field in Settings.model_fields.items():
        page.append(_document_section(name, _section_type(field.annotation)))
    return "".join(page)


def _document_section(name: str, section: type[Section]) -> str:
    nested = {f"{name}.{n}": s for n, f in section.model_fields.items() if (s := _nested(f.annotation))}
    rows = [_row(n, f) for n, f in section.model_fields.items()]
    head = [
        f"\n## {name}\n",
        f"{inspect.getdoc(section)}\n",
        "| setting | type | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows, ""]) + "".join(_document_section(n, s) for n, s in nested.items())


def _row(name: str, field: FieldInfo) -> str:
    meaning = " ".join((field.description or "").split())
    cells = (f"`{name}`", _type_name(field), _default(field), meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return "required"
    return "none" if default in (None, (), {}) else f"`{default!r}`"


def _type_name(field: FieldInfo) -> str:
    bounds = [_describe_bound(bound) for bound in field.metadata]
    return ", ".join([_plain_type(field.annotation), *(bound for bound in bounds if bound)])


def _describe_bound(bound: Any) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return " and ".join(f"{sign} {getattr(bound, name):g}" for name, sign in signs.items() if hasattr(bound, name))


def _plain_type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        limits = [_describe_bound(bound) for a in arguments[1:] for bound in getattr(a, "metadata", [a])]
        return ", ".join([_plain_type(arguments[0]), *(limit for limit in limits if limit)])
    if origin is typing.Literal:
        return " or ".join(str(a) for a in arguments)
    if origin is tuple:
        return f"list of {_plain_type(arguments[0])}"
    if arguments:
        return " or ".join("none" if a is type(None) else _plain_type(a) for a in arguments)
    return str(getattr(annotation, "__name__", annotation))


def _section_type(annotation: Any) -> type[Section]:
    assert isinstance(annotation, type)
    assert issubclass(annotation, Section)
    return annotation


def _nested(annotation: Any) -> type[Section] | None:
    """The section that a list of sections holds, or that may be left out."""
    for argument in typing.get_args(annotation):
        if isinstance(argument, type) and issubclass(argument, Section):
            return argument
    return None
