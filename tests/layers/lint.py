#!/usr/bin/env python3
"""make lint: what the compiler does not check of the house rules (DESIGN section 2 and 3, STYLE).

    lint.py [ROOT]        prints file:line: complaint, then a summary; exit 1 if there is a complaint

The rules are tables in rules.py; selftest.py plants one violation of each kind and looks whether it is found.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

import ctext
import rules

TREES = ("lib", "include", "cmd", "examples", "tests")
SKIP = {"node_modules", "out", "build", "__pycache__", "corpus", "layers"}
CODE = (".c", ".h", ".py", ".sh", ".mjs", ".go")


class Lint:
    def __init__(self, root):
        self.root = root
        self.complaints = []
        self.files = 0
        self.functions = []  # (lines, name, path)
        self.guards = {}
        self.enums, self.structs = set(), set()  # typedef names of public headers

    def complain(self, path, line, text):
        self.complaints.append((path, line, text))

    def find(self, pattern, text, path, complaint):
        """Complains at every match; {0}, {1} … in complaint are its groups."""
        for m in re.finditer(pattern, text, re.MULTILINE):
            self.complain(path, ctext.line_of(text, m.start()), complaint.format(m[0].strip(), *m.groups()))

    # ---- every file --------------------------------------------------------------------------------

    def file(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as f:
            source = f.read()
        self.files += 1
        lines = source.count("\n")
        if lines > rules.FILE_LINES:
            self.complain(path, lines, f"{lines} lines, a file has {rules.FILE_LINES} at most")
        self.find(r"\b(TODO|FIXME|XXX)\b", source, path, "{1}: finish it or open an issue")
        if path.endswith((".c", ".h")):
            self.c_file(path, source)

    def c_file(self, path, source):
        code = ctext.code_only(source)
        tree = path.split("/")[0]
        if tree in ("lib", "cmd") and path.endswith(".c") and not source.lstrip().startswith("/*"):
            self.complain(path, 1, "open with a comment: what this file owns, what it must never do")
        if path.endswith(".h"):
            self.guard(path, code)
        self.lengths(path, code)
        if tree != "tests":
            self.includes(path, source)
            self.calls(path, code, tree)
        if tree == "include":
            self.abi(path, code)

    def guard(self, path, code):
        m = re.match(r"\s*#\s*ifndef\s+(\w+)\s*\n\s*#\s*define\s+(\w+)\s*\n", code)
        if not m or m[1] != m[2] or not re.search(r"#\s*endif\s*$", code):
            self.complain(path, 1, "no include guard around the whole header")
        elif self.guards.setdefault(m[1], path) != path:
            self.complain(path, ctext.line_of(code, m.start(1)), f"{m[1]} guards {self.guards[m[1]]} too")

    def lengths(self, path, code):
        for name, line, lines in ctext.functions(ctext.without_directives(code)):
            self.functions.append((lines, name, path))
            if lines > rules.FUNCTION_LINES:
                self.complain(path, line, f"{name}: {lines} lines, a function has {rules.FUNCTION_LINES} at most")

    # ---- includes ----------------------------------------------------------------------------------

    def includes(self, path, source):
        text = ctext.without_comments(source)
        for m in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', text, re.MULTILINE):
            why = self.judge_include(path, m[2], quoted=m[1] == '"')
            if why:
                self.complain(path, ctext.line_of(text, m.start()), f"includes {m[2]}: {why}")

    def judge_include(self, path, header, quoted):
        """Why this include is wrong, or None."""
        tree, *rest = path.split("/")
        first, _, name = header.partition("/")
        if first == "mcpgw" and name:
            return self.judge_public(tree, rest, name)
        if quoted:
            return self.judge_private(path, tree, rest, header)
        stem = header[:-2] if header.endswith(".h") else header
        if tree == "include":
            return None if header in rules.PUBLIC_SYSTEM else "a public header needs stddef.h and stdint.h alone"
        if stem in rules.SYSTEM or (name and first in rules.SYSTEM_DIRS):
            return None
        if tree == "examples":  # programs of their own, which may use what they like
            return None
        fence = rules.FENCES.get(re.split(r"[/.]", header)[0])
        if fence is None:
            return "a foreign header without a fence in tests/layers/rules.py"
        return None if tree == "lib" and rest[0] == fence else f"its fence is lib/{fence}"

    @staticmethod
    def judge_public(tree, rest, name):
        if tree != "lib" or name in rules.EVERYWHERE or rest[0] in ("gateway", "api", rules.NOUN.get(name)):
            return None
        return "a public header is for the room of its noun, gateway and api"

    def judge_private(self, path, tree, rest, header):
        beside = os.path.join(self.root, os.path.dirname(path), header)
        room = header.split("/")[0]
        if "/" not in header and os.path.exists(beside) and tree != "include":
            return None
        if tree != "lib":
            if header.startswith(f"{tree}/") and tree == "cmd":
                return None
            return f"{tree} sees public headers only"
        if room not in rules.ROOMS:
            return "no such room"
        if rest[0] not in rules.ROOMS:
            return f"lib/{rest[0]} is not a room"
        if room == rest[0] or room in rules.ROOMS[rest[0]]:
            return None
        may = " ".join(sorted(rules.ROOMS[rest[0]])) or "nothing"
        return f"{rest[0]} may include {may}"

    # ---- calls -------------------------------------------------------------------------------------

    def calls(self, path, code, tree):
        self.banned(path, code, rules.UNSAFE, "banned: it knows no length or hides a failure")
        if tree != "lib":
            return
        room = path.split("/")[1]
        for why, names in rules.GUEST.items():
            self.banned(path, code, names.split(), why)
        if room != rules.ALLOCATORS_LIVE_IN:
            self.banned(path, code, rules.ALLOCATORS, "memory comes from base/mem", pointers=True)
        self.find(rf"\b({'|'.join(rules.SILENT)})\b", code, path, "{1}: the library is silent")

    def banned(self, path, code, names, why, pointers=False):
        """Calls; with pointers also the bare name handed on. Members (x->free, .free) are something else."""
        names = "|".join(names)
        self.find(rf"(?<![\w.>])({names})[ \t]*\(", code, path, f"{{1}}: {why}")
        if pointers:
            self.find(rf"(?<=[(,=])[ \t]*&?({names})[ \t]*(?=[,);}}])", code, path, f"{{1}}: {why}")

    # ---- public headers ----------------------------------------------------------------------------

    def abi(self, path, code):
        plain = ctext.without_directives(code)
        self.find(r"^[ \t]*#[ \t]*define[ \t]+(\w+)\(", code, path, "{1}: a macro is no function of an ABI")
        self.find(rf"\b({'|'.join(rules.ABI_WORDS)})\b", plain, path, "{1}: not in a public header")
        self.find(r"\.\.\.", plain, path, "varargs: not in a public header")
        self.find(r"\b(\w+)[ \t]*:[ \t]*\w+[ \t]*[;,]", plain, path, "{1}: a bitfield: not in a public header")
        self.parameters(path, plain)

    def parameters(self, path, plain):
        for m in re.finditer(r"\(([^()]*)\)", plain):
            for param in m[1].split(","):
                line = ctext.line_of(plain, m.start(1) + m[1].find(param) + len(param) - len(param.lstrip()))
                words = re.findall(r"\w+", param)
                if "enum" in words or self.enums.intersection(words[:-1]):
                    self.complain(path, line, f"{' '.join(words)}: an enum-typed parameter")
                if "*" not in param and "[" not in param and self.by_value(words):
                    self.complain(path, line, f"{' '.join(words)}: a struct by value")
        for m in re.finditer(r"^[ \t]*(?:MCPGW_API[ \t]+)?((?:const[ \t]+)?(?:struct[ \t]+)?\w+)[ \t]+\w+[ \t]*\(", plain,
                             re.MULTILINE):
            if self.by_value(m[1].split() + ["result"]):
                self.complain(path, ctext.line_of(plain, m.start(1)), f"{m[1]}: a struct by value")

    def by_value(self, words):
        return "struct" in words or bool(self.structs.intersection(words[:-1]))

    def collect_types(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as f:
            plain = ctext.without_directives(ctext.code_only(f.read()))
        body = r"(?:\s*\{[^{}]*\})?"
        self.enums.update(re.findall(rf"typedef\s+enum\b\s*\w*{body}\s*(\w+)\s*;", plain))
        self.structs.update(re.findall(rf"typedef\s+(?:struct|union)\b\s*\w*{body}\s*(\w+)\s*;", plain))

    def compiles_alone(self, path, tmp):
        header = path.split("/", 1)[1]
        flags = ["-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", os.path.join(self.root, "include")]
        for language, suffix, std, compiler in (
            ("C99", ".c", "c99", os.environ.get("CC") or "cc"),
            ("C++11", ".cc", "c++11", os.environ.get("CXX") or "c++"),
        ):
            unit = os.path.join(tmp, "alone" + suffix)
            with open(unit, "w", encoding="utf-8") as f:
                f.write(f"#include <{header}>\nint alone;\n")
            done = subprocess.run([*compiler.split(), f"-std={std}", *flags, unit], capture_output=True, text=True)
            if done.returncode != 0:
                said = next((l for l in done.stderr.splitlines() if "error" in l), done.stderr.strip())
                line = re.search(rf"{re.escape(header)}:(\d+)", said)
                self.complain(path, int(line[1]) if line else 1, f"does not compile alone as {language}: {said.strip()}")

    # ---- all ---------------------------------------------------------------------------------------

    def paths(self):
        for tree in TREES:
            for folder, dirs, names in os.walk(os.path.join(self.root, tree)):
                dirs[:] = sorted(d for d in dirs if d not in SKIP)
                for name in sorted(names):
                    if name.endswith(CODE):
                        yield os.path.relpath(os.path.join(folder, name), self.root)

    def run(self):
        paths = list(self.paths())
        public = [p for p in paths if p.startswith("include/") and p.endswith(".h")]
        for path in public:
            self.collect_types(path)
        for path in paths:
            self.file(path)
        with tempfile.TemporaryDirectory() as tmp:
            for path in public:
                self.compiles_alone(path, tmp)
        return sorted(set(self.complaints))


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    for tool in (os.environ.get("CC") or "cc", os.environ.get("CXX") or "c++"):
        if not shutil.which(tool.split()[0]):
            sys.exit(f"lint: no compiler `{tool}`: install it or set CC and CXX")
    lint = Lint(root)
    complaints = lint.run()
    for path, line, text in complaints:
        print(f"{path}:{line}: {text}")
    ours = sorted(f for f in lint.functions if not f[2].startswith("tests/"))
    few = [f for f in ours if f[0] > rules.FUNCTION_LINES_FEW]
    if ours:
        median, longest = ours[len(ours) // 2][0], ours[-1]
        print(f"lint: {len(ours)} functions, median {median} lines, {len(few)} over {rules.FUNCTION_LINES_FEW}, "
              f"longest {longest[1]} in {longest[2]} with {longest[0]}")
    print(f"lint: {lint.files} files, {len(complaints)} complaints")
    return 1 if complaints or not lint.files else 0


if __name__ == "__main__":
    sys.exit(main())
