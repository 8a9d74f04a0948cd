"""A C file as text to search: the same lines, with what must not be searched blanked out. Not a parser."""

import re

_TOKENS = re.compile(
    r"""//(?:[^\n\\]|\\\n|\\.)*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL
)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def without_comments(source):
    """Comments blanked; strings kept."""
    return _TOKENS.sub(lambda m: _blank(m[0]) if m[0][0] == "/" else m[0], source)


def code_only(source):
    """Comments blanked, and what stands between quotes."""

    def blank(m):
        t = m[0]
        return _blank(t) if t[0] == "/" else t[0] + _blank(t[1:-1]) + t[-1]

    return _TOKENS.sub(blank, source)


def without_directives(code):
    return _DIRECTIVE.sub(lambda m: _blank(m[0]), code)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def functions(code):
    """Yields (name, first line, lines) of every function with a body. `code` is code_only without
    directives. Lines of initialisers inside a function (tables) are not counted."""
    depth, start, signature = 0, 0, None
    table_at, table_lines = None, 0
    for m in re.finditer(r"[{};]", code):
        ch, at = m[0], m.start()
        if ch == "{":
            before = code[start:at].rstrip()
            if depth == 0:
                if before.endswith('"'):  # extern "C" { is no depth
                    start = at + 1
                    continue
                signature, table_lines = (before if before.endswith(")") and "=" not in before else None), 0
                signature_at = start + len(code[start:at]) - len(code[start:at].lstrip())
            elif signature and table_at is None and code[:at].rstrip().endswith("="):
                table_at = (depth, at)
            depth += 1
        elif ch == "}":
            depth = max(depth - 1, 0)
            if table_at and table_at[0] == depth:
                table_lines += code.count("\n", table_at[1], at)
                table_at = None
            if depth == 0:
                if signature:
                    name = re.search(r"(\w+)\s*\(", signature)
                    lines = code.count("\n", signature_at, at) + 1 - table_lines
                    yield (name[1] if name else "?"), line_of(code, signature_at), lines
                signature, start = None, at + 1
        elif depth == 0:
            start = at + 1
