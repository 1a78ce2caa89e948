"""Writing HTML by calling functions: what is not `Html` is escaped."""

from __future__ import annotations

from html import escape

_VOID = frozenset({"br", "input", "meta", "link", "col", "hr", "img", "wbr"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def el(name: str, /, *children: Html | str | int | None, **attributes: object) -> Html:
    """Return an element. None among children or attributes is left out.

    Attribute names: `class_` is class, `data_task` is data-task; True stands alone.
    """
    shown = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        shown.append(label if value is True else f'{label}="{escape(str(value))}"')
    head = " ".join([name, *shown])
    if name in _VOID:
        return Html(f"<{head}>")
    return Html(f"<{head}>{join(*children)}</{name}>")


def join(*parts: Html | str | int | None) -> Html:
    """Return parts one after another, escaped unless they are Html."""
    return Html(
        "".join(
            part if isinstance(part, Html) else escape(str(part), quote=False)
            for part in parts
            if part is not None
        )
    )
