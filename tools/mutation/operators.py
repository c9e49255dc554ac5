# SPDX-License-Identifier: Apache-2.0
"""The classical mutation operators, as rows and a few rules over statements.

sites(source) lists every mutant of a source: one place, one replacement.
"""
import re
from dataclasses import dataclass

from mutation import tokens as lexer

# (operator, token, replacement) for a token between two operands.
BINARY = (
    ("relational", "<", "<="), ("relational", "<=", "<"),
    ("relational", ">", ">="), ("relational", ">=", ">"),
    ("relational", "==", "!="), ("relational", "!=", "=="),
    ("arithmetic", "+", "-"), ("arithmetic", "-", "+"),
    ("arithmetic", "*", "/"), ("arithmetic", "/", "*"), ("arithmetic", "%", "/"),
    ("arithmetic", "+=", "-="), ("arithmetic", "-=", "+="),
    ("arithmetic", "*=", "/="), ("arithmetic", "/=", "*="),
    ("shift", "<<", ">>"), ("shift", ">>", "<<"), ("shift", "<<=", ">>="), ("shift", ">>=", "<<="),
    ("bitwise", "&", "|"), ("bitwise", "|", "&"), ("bitwise", "^", "|"),
    ("bitwise", "&=", "|="), ("bitwise", "|=", "&="), ("bitwise", "^=", "|="),
    ("logical", "&&", "||"), ("logical", "||", "&&"),
)
# The same for a token before its operand.
UNARY = (("negation", "!", ""), ("sign", "-", ""), ("bitwise", "~", ""))
STEP = (("step", "++", "--"), ("step", "--", "++"))
NAMES = (("constant", "true", "false"), ("constant", "false", "true"))
CALLS = (("extremum", "min", "max"), ("extremum", "max", "min"),
         ("extremum", "Min", "Max"), ("extremum", "Max", "Min"))

_KEYWORDS = set("""alignas auto bool break case catch char class const constexpr consteval continue default delete do
double else enum explicit extern float for friend goto if inline int long mutable namespace new operator private
protected public return short signed static static_assert struct switch template throw try typedef typename union
unsigned using virtual void volatile while""".split())
_SUM_ENDS = {",", ";", "?", ":", "=", "return", "<<"}
_ASSIGN = {"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="}
# Deleting these changes speed and nothing else.
_SPEED_ONLY = re.compile(r"\breserve\(|\bshrink_to_fit\(|\bHWY_|\bASSAY_")
_DEFAULT_VALUES = {"", "{}", "0", "1", "true", "false", "nullptr", "std::nullopt", '""', "*this"}


@dataclass(frozen=True)
class Site:
    operator: str
    start: int
    end: int
    replacement: str

    def apply(self, source):
        return source[:self.start] + self.replacement + source[self.end:]


def constant(text):
    """0 <-> 1, n -> n + 1; a decimal fraction doubles (0.0 -> 1.0). None where there is no rule."""
    match = re.fullmatch(r"(0[xX][0-9a-fA-F']+|0[bB][01']+|\d[\d']*)([uUlLzZ]*)", text)
    if match:
        digits, suffix = match.groups()
        octal = len(digits) > 1 and digits.isdigit() and digits[0] == "0"
        value = int(digits.replace("'", ""), 8 if octal else 0)
        value = 0 if value == 1 else value + 1
        return (hex(value) if digits[:2] in ("0x", "0X") else str(value)) + suffix
    match = re.fullmatch(r"([\d.]+(?:[eE][+-]?\d+)?)([fFlL]?)", text)
    if match:
        value = float(match.group(1))
        return repr(value * 2 if value else 1.0) + match.group(2)
    return None


def _joins_strings(tokens, pairs, i):
    """Whether the + at i is in a sum with a string literal, where no other operator compiles."""
    for step in (-1, 1):
        j = i + step
        enclosing = "([{" if step < 0 else ")]}"
        while 0 <= j < len(tokens) and tokens[j].text not in _SUM_ENDS and tokens[j].text not in enclosing:
            if tokens[j].text.startswith('"'):
                return True
            j = pairs.get(j, j) + step
    return False


def _token_sites(tokens, pairs, skipped):
    for i, token in enumerate(tokens):
        if i in skipped or token.text in ("+", "+=") and _joins_strings(tokens, pairs, i):
            continue
        before = tokens[i - 1] if i else None
        after = tokens[i + 1].text if i + 1 < len(tokens) else ""
        if token.kind == "number":
            replacement = constant(token.text)
            if replacement is not None:
                yield Site("constant", token.start, token.end, replacement)
            continue
        operand_before = before is not None and (
            before.kind in ("name", "number", "string") and before.text not in _KEYWORDS
            or before.text in (")", "]", "}"))
        if token.kind == "operator" and token.binary and operand_before:
            rows = BINARY
        elif token.kind == "operator" and token.text in ("++", "--"):
            rows = STEP
        elif token.kind == "operator" and not token.space_right and not operand_before:
            rows = UNARY
        elif token.kind == "name":
            rows = CALLS if after in ("(", "<") else NAMES
        else:
            continue
        for operator, text, replacement in rows:
            if token.text == text:
                yield Site(operator, token.start, token.end, replacement)


def _condition_sites(source, tokens, pairs, skipped):
    """if (c) and while (c) -> (!(c)), unless another operator plants the same fault."""
    for i, token in enumerate(tokens):
        if token.text not in ("if", "while") or i in skipped:
            continue
        opening = i + 2 if tokens[i + 1].text == "constexpr" else i + 1
        if opening not in pairs:
            continue
        inside = tokens[opening + 1:pairs[opening]]
        texts = [t.text for t in inside]
        joined = {"&&", "||"} & set(texts)
        declares = inside[0].text in _KEYWORDS or ";" in texts
        same = not joined and ({"==", "!="} & set(texts) or texts[0] == "!")
        if not declares and not same:
            start, end = inside[0].start, inside[-1].end
            yield Site("condition", start, end, f"!({source[start:end]})")


def _statement_ends(tokens, pairs):
    """(index of the first token, index of the ;) of every statement that a ; ends."""
    headers = {pairs[i + 1] for i, t in enumerate(tokens)
               if t.text in ("if", "for", "while", "switch") and i + 1 in pairs}
    headers |= {pairs[i + 2] for i, t in enumerate(tokens)
                if t.text == "if" and tokens[i + 1].text == "constexpr" and i + 2 in pairs}
    clauses = {j for i, t in enumerate(tokens) if t.text == "for" for j in range(i, pairs[i + 1])}
    for i in range(1, len(tokens)):
        if i in clauses:
            continue
        before = tokens[i - 1]
        label = before.text == ":" and any(t.text in ("case", "default") for t in tokens[max(0, i - 6):i])
        if not (before.text in (";", "{", "}", "else") or i - 1 in headers or label):
            continue
        j = i
        while j < len(tokens) and tokens[j].text not in (";", ")", "}", "]"):
            j = pairs.get(j, j) + 1
        if i < j < len(tokens) and tokens[j].text == ";":
            yield i, j, headers


def _declares(statement):
    """Foo bar..., Foo<T> bar..., Foo& bar...; and everything that starts with a keyword."""
    if statement[0].kind != "name":
        return statement[0].text not in ("++", "--", "*", "(")
    if statement[0].text in _KEYWORDS or statement[-1].text in ("delete", "default"):
        return True
    for left, right in zip(statement, statement[1:]):
        if left.text in _ASSIGN or left.text in ("(", "[", "++", "--"):
            return False
        if right.kind == "name" and (left.kind == "name" or left.text in (">", "&", "*", "&&")):
            return True
    return len(statement) == 1


def _statement_sites(source, tokens, pairs, skipped):
    for first, last, headers in _statement_ends(tokens, pairs):
        if first in skipped:
            continue
        word = tokens[first].text
        start, end = tokens[first].start, tokens[last].end
        text = source[start:end]
        if word in ("return", "throw", "break", "continue"):
            if word == "return":
                value = source[tokens[first].end:tokens[last].start].strip()
                if value not in _DEFAULT_VALUES:
                    yield Site("return value", start, end, "return {};")
            closing = tokens[last + 1].text == "}" if last + 1 < len(tokens) else True
            guarded = first - 1 in headers
            if closing and not guarded:
                opening = pairs.get(last + 1, 0)
                guarded = opening - 1 in headers or tokens[opening - 1].text == "else"
            if guarded or not closing:
                yield Site("early exit", start, end, ";")
        elif not _declares(tokens[first:last]) and not _SPEED_ONLY.search(text):
            yield Site("statement", start, end, ";")


def sites(source):
    """Every mutant of the source, in the order of the text."""
    tokens = lexer.tokenize(source)
    pairs = lexer.partners(tokens)
    skipped = lexer.inert(tokens, pairs)
    found = [*_token_sites(tokens, pairs, skipped), *_condition_sites(source, tokens, pairs, skipped),
             *_statement_sites(source, tokens, pairs, skipped)]
    return sorted(found, key=lambda s: (s.start, s.end, s.operator, s.replacement))
