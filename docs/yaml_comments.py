"""Read what the comments of a yaml file say: about the file, and about each of its keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LINE = re.compile(r"^(?P<indent> *)(?P<key>[^\s:#-][^:#]*|/[^:]*):(?: +(?P<rest>.*))?$")
INDENTED = 3  # spaces behind `#` from which on a line of a comment is a command


@dataclass
class Entry:
    """Hold one key: its dotted name, its value as written, and what the comments say, as Markdown."""

    name: str
    value: str
    text: str


@dataclass
class Page:
    """Hold what one file says: the comment at its head as Markdown, its keys, and what its defaults choose."""

    head: str
    entries: list[Entry]
    chosen: list[str]


def read_page(path: Path) -> Page:
    """Return what the comments of a yaml file say."""
    lines = path.read_text().splitlines()
    if lines and lines[0].startswith("# @package"):
        lines = lines[1:]
    size = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    body = lines[size:]
    return Page(as_markdown(lines[:size]), _entries(body), _chosen(body))


def as_markdown(comment: list[str]) -> str:
    """Return the lines of a comment as Markdown: lines that are indented are commands, others are one paragraph.

    The first line is a paragraph of its own where it has no full stop, because it is the file's title then.
    """
    parts: list[str] = []
    prose: list[str] = []
    code: list[str] = []

    def end() -> None:
        if prose:
            parts.append(escaped(" ".join(prose)))
        if code:
            parts.append("```sh\n" + "\n".join(code) + "\n```")
        prose.clear()
        code.clear()

    for number, line in enumerate(comment):
        text = line.lstrip("#")
        indented = len(text) - len(text.lstrip()) >= INDENTED
        if indented == bool(prose) or number == 1:
            end()
        (code if indented else prose).append(text.strip())
    end()
    return "\n\n".join(parts)


def escaped(text: str) -> str:
    """Return prose in which nothing but code between backticks is markup."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return re.sub(r"([*_<\[\]`])", r"\\\1", text)
    return "`".join(part if number % 2 else re.sub(r"([*_<\[\]])", r"\\\1", part) for number, part in enumerate(parts))


def _entries(lines: list[str]) -> list[Entry]:
    """Return the keys of a file. A comment belongs to the key of its line, or of the line above if it only goes on.

    Comments on lines of their own belong to the next key. Keys without a value or a comment are parents alone.
    """
    entries: list[Entry] = []
    parents: list[tuple[int, str]] = []
    above: list[str] = []
    column = -1  # where the comment behind the last key began
    for line in lines:
        stripped = line.strip()
        if not stripped:
            above = []
        elif stripped.startswith("#"):
            text = escaped(stripped.lstrip("# "))
            if entries and column >= 0 and abs(line.index("#") - column) <= 1:
                entries[-1].text += f" {text}"
            else:
                above.append(text)
        elif match := LINE.match(line):
            indent, key = len(match["indent"]), match["key"].strip()
            parents = [parent for parent in parents if parent[0] < indent]
            value, comment, column = _split(line)
            name = ".".join([*(parent[1] for parent in parents), key])
            parents.append((indent, key))
            text = " ".join([*above, *([escaped(comment)] if comment else [])])
            above = []
            if value or text:
                entries.append(Entry(name, value, text))
        elif entries and entries[-1].name:
            column = -1
    return entries


def _split(line: str) -> tuple[str, str, int]:
    """Return the value and the comment of a line `key: value  # comment`, and the column of the comment or -1."""
    rest = line[line.index(":") + 1 :]
    found = re.search(r"(?:^|\s)#", rest)
    if found is None:
        return rest.strip(), "", -1
    return rest[: found.start()].strip(), rest[found.end() :].strip(), line.index(":") + found.end()


def _chosen(lines: list[str]) -> list[str]:
    """Return what the `defaults` of a file choose, such as `mixing=replace`."""
    found = [re.match(r"^  - (?:override )?/?([\w/]+): *(.*?)(?: +#.*)?$", line) for line in lines]
    return [f"{match[1]}={match[2]}".replace(" ", "") for match in found if match]
