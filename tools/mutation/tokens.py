# SPDX-License-Identifier: Apache-2.0
"""C++ as tokens, just well enough to plant a fault in an expression and nowhere else.

The tree is formatted by clang-format, which is what makes so small a tokenizer sufficient: a binary
operator has white space on both sides; an angle bracket of a template, a reference, a pointer and a
unary operator do not.
"""
import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<comment> //[^\n]* | /\*.*?\*/ )
    | (?P<directive> ^[ \t]*\#(?:\\\n|[^\n])* )
    | (?P<string> R"(?P<delimiter>[^()\s\\]*)\(.*?\)(?P=delimiter)"
                | (?:u8|[uUL])?"(?:\\.|[^"\\\n])*"
                | (?:u8|[uUL])?'(?:\\.|[^'\\\n])+' )
    | (?P<number> (?: 0[xX][0-9a-fA-F']+(?:\.[0-9a-fA-F]*)?(?:[pP][+-]?\d+)? | 0[bB][01']+
                    | (?:\d[\d']*\.?\d*|\.\d+)(?:[eE][+-]?\d+)? ) [uUlLfFzZ]* )
    | (?P<name> [A-Za-z_]\w* )
    | (?P<operator> <<= | >>= | <=> | ->\* | \.\.\. | :: | \+\+ | -- | << | >> | <= | >= | == | !=
                  | && | \|\| | [-+*/%&|^]= | -> | [-+*/%&|^~!<>=?:;,.(){}\[\]] )
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE)

_OPEN = {"(": ")", "{": "}", "[": "]"}
# What stands in the parentheses of these is no behaviour of the program.
_DECLARATIVE = {"static_assert", "assert", "alignas", "decltype", "noexcept", "requires"}


@dataclass(frozen=True)
class Token:
    kind: str    # directive, string, number, name, operator
    text: str
    start: int   # offset in the source
    space_left: bool
    space_right: bool

    @property
    def end(self):
        return self.start + len(self.text)

    @property
    def binary(self):
        return self.space_left and self.space_right


def tokenize(source):
    """The tokens without comments and without preprocessor directives."""
    tokens = []
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup if match.lastgroup != "delimiter" else "string"
        if kind in ("comment", "directive"):
            continue
        before = source[match.start() - 1] if match.start() else "\n"
        after = source[match.end()] if match.end() < len(source) else "\n"
        tokens.append(Token(kind, match.group(), match.start(), before.isspace(), after.isspace()))
    return tokens


def partners(tokens):
    """For every bracket ( { [ and its closing one: the index of the other."""
    pairs, stack = {}, []
    for i, token in enumerate(tokens):
        if token.kind != "operator":
            continue
        if token.text in _OPEN:
            stack.append(i)
        elif token.text in _OPEN.values() and stack:
            j = stack.pop()
            pairs[i], pairs[j] = j, i
    return pairs


def _angle_end(tokens, i):
    """The index of the > that closes the template argument list opened at i, or None."""
    depth = 0
    for j in range(i, len(tokens)):
        text = tokens[j].text
        if text == "<" and not tokens[j].binary:
            depth += 1
        elif text in (">", ">>") and not tokens[j].binary:
            depth -= len(text)
            if depth <= 0:
                return j
        elif text in (";", "{"):
            return None
    return None


def inert(tokens, pairs):
    """Indices of tokens in template argument lists, static_assert, alignas and the like."""
    skipped = set()
    for i, token in enumerate(tokens):
        follows = tokens[i + 1].text if i + 1 < len(tokens) else ""
        if token.text in _DECLARATIVE and follows == "(" and i + 1 in pairs:
            skipped.update(range(i, pairs[i + 1] + 1))
        elif token.text == "<" and not token.binary and i and tokens[i - 1].kind == "name":
            end = _angle_end(tokens, i)
            if end is not None:
                skipped.update(range(i, end + 1))
        elif token.text == "[" and follows == "[" and i in pairs:
            skipped.update(range(i, pairs[i] + 1))  # an attribute
    return skipped
