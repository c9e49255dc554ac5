# SPDX-License-Identifier: Apache-2.0
"""Every mutant of a room in an order that depends on the seed alone: its first N are a uniform sample."""
import hashlib
from dataclasses import dataclass

from mutation import operators, rooms


@dataclass(frozen=True)
class Mutant:
    id: str         # of the line's text and place in it: it survives edits elsewhere in the file
    room: str
    file: str
    line: int
    operator: str
    before: str     # the lines that change, and what becomes of them
    after: str
    site: operators.Site


def _lines(text, start, end):
    """The whole lines that hold text[start:end], on one line."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", end)
    return " ".join(text[first:last if last >= 0 else len(text)].split())


def mutants_of(room_name, path, source):
    seen = {}
    for site in operators.sites(source):
        line_start = source.rfind("\n", 0, site.start) + 1
        before = _lines(source, site.start, site.end)
        after = _lines(site.apply(source), site.start, site.start + len(site.replacement))
        key = (path, before, site.start - line_start, site.operator, site.replacement)
        seen[key] = seen.get(key, 0) + 1  # equal lines are told apart by their number
        name = hashlib.sha256(repr((*key, seen[key])).encode()).hexdigest()[:12]
        yield Mutant(name, room_name, path, source.count("\n", 0, site.start) + 1, site.operator,
                     before, after, site)


def ordered(room_name, sources, seed):
    """sources: {path: text} of the whole tree."""
    found = [m for path in rooms.files_of(rooms.ROOMS[room_name], sources)
             for m in mutants_of(room_name, path, sources[path])]
    return sorted(found, key=lambda m: hashlib.sha256(f"{seed}/{m.id}".encode()).digest())
