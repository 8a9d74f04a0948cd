#!/usr/bin/env python3
"""Does lint.py find what it is for? Plants one violation of each kind in a clean little tree and looks whether
it is reported at its line. Then plants what looks like a violation and is none."""

import os
import re
import subprocess
import sys
import tempfile

LINT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lint.py")

GUARDED = "#ifndef {0}\n#define {0}\n{1}\n#endif\n"
TYPES = GUARDED.format("MCPGW_TYPES_H", "#include <stddef.h>\nextern int mcpgw_types;")
CLEAN = {
    "include/mcpgw/types.h": TYPES,
    "include/mcpgw/session.h": GUARDED.format("MCPGW_SESSION_H", "#include <mcpgw/types.h>\nextern int mcpgw_session;"),
    "lib/base/mem.h": GUARDED.format("MG_BASE_MEM_H", '#include "mcpgw/types.h"'),
    "lib/base/mem.c": '/* Owns memory. */\n#include "base/mem.h"\n#include <stdlib.h>\nvoid f(void *p) { free(p); }\n',
    "lib/json/scan.h": GUARDED.format("MG_JSON_SCAN_H", '#include "base/mem.h"'),
    "lib/json/doc.c": '/* Owns trees. */\n#include "json/scan.h"\n#include <jansson.h>\n',
    "lib/wire/era.h": GUARDED.format("MG_WIRE_ERA_H", ""),
    "lib/core/policy.c": '/* Owns policy. */\n#include "wire/era.h"\n#include "mcpgw/session.h"\n',
    "lib/api/door.c": '/* Owns doors. */\n#include <mcpgw/session.h>\n#include <sys/socket.h>\n',
    "cmd/mcpgw/main.c": '/* Owns main. */\n#include "cmd.h"\n#include <mcpgw/types.h>\n#include <stdio.h>\n'
    'int main(void) { return printf("x") < 0; }\n',
    "cmd/mcpgw/cmd.h": GUARDED.format("CMD_H", ""),
    "examples/one.c": "#include <jansson.h>\n#include <mcpgw/types.h>\n",
    "tests/base/t.c": '#include "base/mem.h"\n#include <stdlib.h>\nvoid t(void) { free(0); abort(); }\n',
}


def c_function(lines):
    return "int long_one(int a)\n{\n" + "  a++;\n" * (lines - 4) + "  return a;\n}\n"


def public(line):
    return TYPES.replace("extern int mcpgw_types;", line)


# name: (path, text to append to the file there, or a whole text when the file is new or `public`; complaint)
LIB, CORE, DOC = "lib/base/x.c", "lib/core/x.c", "lib/json/x.c"
OPEN = "/* Owns x. */\n"
OPEN_MARK = "TO" + "DO"  # so that this file has none
PLANTED = {
    "upward include": (LIB, OPEN + '#include "json/scan.h"\n', 2, "base may include nothing"),
    "sideways include": (DOC, OPEN + '#include "wire/era.h"\n', 2, "json may include base"),
    "unknown room": (DOC, OPEN + '#include "jsn/scan.h"\n', 2, "no such room"),
    "public header in a foreign room": (DOC, OPEN + '#include "mcpgw/session.h"\n', 2, "room of its noun"),
    "cmd sees inside": ("cmd/mcpgw/x.c", OPEN + '#include "base/mem.h"\n', 2, "public headers only"),
    "example sees inside": ("examples/x.c", '#include "base/mem.h"\n', 1, "public headers only"),
    "public header sees inside": ("include/mcpgw/types.h", public('#include "base/mem.h"'), 4, "public headers only"),
    "public header wants more": ("include/mcpgw/types.h", public("#include <stdio.h>"), 4, "stddef.h and stdint.h"),
    "unfenced header": (CORE, OPEN + "#include <openssl/evp.h>\n", 2, "without a fence"),
    "file length": (LIB, OPEN + "\n" * 800, 801, "801 lines"),
    "function length": (LIB, OPEN + c_function(81), 2, "long_one: 81 lines"),
    "open end": (LIB, OPEN + f"/* {OPEN_MARK}: more */\n", 2, "finish it"),
    "open end in tests": ("tests/base/x.sh", "#!/bin/sh\n# FIX" + "ME\n", 2, "finish it"),
    "opening comment": (LIB, "int x;\n", 1, "open with a comment"),
    "no guard": ("lib/base/x.h", "int x;\n", 1, "no include guard"),
    "half a guard": ("lib/base/x.h", "#ifndef A_H\n#define B_H\n#endif\n", 1, "no include guard"),
    "a guard used twice": ("lib/wire/x.h", GUARDED.format("MG_WIRE_ERA_H", ""), 1, "MG_WIRE_ERA_H guards"),
    "libc's stream": (LIB, OPEN + 'void g(void) { fputs("x", stderr); }\n', 2, "stderr: the library is silent"),
    "free as a pointer": (DOC, OPEN + "void g(void) { set(malloc, free); }\n", 2, "malloc: memory"),
    "macro": ("include/mcpgw/types.h", public("#define MCPGW_MAX(a) (a)"), 4, "a macro is no function"),
    "inline": ("include/mcpgw/types.h", public("static inline int f(void) { return 1; }"), 4, "inline: not in"),
    "varargs": ("include/mcpgw/types.h", public("int f(int a, ...);"), 4, "varargs"),
    "bitfield": ("include/mcpgw/types.h", public("struct s { unsigned a : 3; };"), 4, "a: a bitfield"),
    "long": ("include/mcpgw/types.h", public("int f(unsigned long a);"), 4, "long: not in"),
    "bool": ("include/mcpgw/types.h", public("typedef int bool;"), 4, "bool: not in"),
    "enum parameter": ("include/mcpgw/types.h", public("enum e { A };\nint f(int a, enum e b);"), 5, "enum-typed"),
    "enum typedef": ("include/mcpgw/types.h", public("typedef enum { A } e;\nint f(e b);"), 5, "enum-typed"),
    "struct by value": ("include/mcpgw/types.h", public("struct s { int a; };\nint f(struct s b);"), 5, "by value"),
    "typedef by value": ("include/mcpgw/types.h", public("typedef struct s { int a; } s;\nint f(s b);"), 5, "by value"),
    "struct returned": ("include/mcpgw/types.h", public("struct s { int a; };\nstruct s f(int a);"), 5, "by value"),
    "not C99": ("include/mcpgw/types.h", public("typedef struct { int a; struct { int b; }; } s;"), 4, "alone as C99"),
    "not C++": ("include/mcpgw/types.h", public("extern int class;"), 4, "alone as C++11"),
    "not alone": ("include/mcpgw/types.h", public("extern int32_t x;"), 4, "alone as C99"),
}
for header, fence in {
    "curl/curl.h": "http", "llhttp.h": "http", "jansson.h": "json", "sodium.h": "crypt", "lmdb.h": "store", "uv.h": "loop"
}.items():
    PLANTED[f"{header} outside its fence"] = (CORE, OPEN + f"#include <{header}>\n", 2, f"its fence is lib/{fence}")
    PLANTED[f"{header} in cmd"] = ("cmd/mcpgw/x.c", OPEN + f"#include <{header}>\n", 2, f"its fence is lib/{fence}")
for call in "strcpy strcat sprintf vsprintf gets strtok alloca atoi".split():
    for path in (LIB, "cmd/mcpgw/x.c", "examples/x.c"):
        PLANTED[f"{call} in {path}"] = (path, OPEN + f"void g(void) {{ {call}(0); }}\n", 2, f"{call}: banned")
for call in "malloc calloc realloc free strdup".split():
    PLANTED[call] = (CORE, OPEN + f"void g(void) {{ {call} (0); }}\n", 2, f"{call}: memory comes from")
for call in """abort exit _exit assert signal sigaction setlocale chdir getenv printf puts perror""".split():
    PLANTED[call] = (LIB, OPEN + f"void g(void) {{\n  {call}(0);\n}}\n", 3, f"{call}: ")

INNOCENT = {
    "in comments and strings": (LIB, OPEN + '/* malloc(1); abort() */ // exit(1)\nconst char *s = "getenv(\\"x\\")";\n'),
    "members and longer names": (
        CORE, OPEN + "void g(struct v *v) { v->free(v); v->ops.exit(1); mg_free(v); my_printf(1); }\n"),
    "format attribute": (LIB, OPEN + "int e(const char *f, ...) __attribute__((format(printf, 1, 2)));\n"),
    "static assertion": (LIB, OPEN + '_Static_assert(1, "x");\n'),
    "a long table": (LIB, OPEN + "const int t[] = {\n" + "  1,\n" * 100 + "};\n"),
    "a long table in a function": (LIB, OPEN + "int h(int a)\n{\n  static const int t[] = {\n" + "    1,\n" * 100
                                   + "  };\n  return t[a];\n}\n"),
    "a function of 80 lines": (LIB, OPEN + c_function(80)),
    "struct sigaction by name": (LIB, OPEN + "struct sigaction *s;\n"),
    "pointers to structs": ("include/mcpgw/types.h", public("struct s { int a; };\nint f(const struct s *b);")),
    "an include in a comment": (LIB, OPEN + '/*\n#include "core/policy.h"\n*/\n'),
}


def lint(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
        done = subprocess.run([sys.executable, LINT, root], capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines(), done.stderr


def main():
    failed = 0

    def check(name, ok, said):
        nonlocal failed
        if not ok:
            failed += 1
            print(f"lint self test: {name}: FAILED\n  " + "\n  ".join(said))

    status, lines, _ = lint(CLEAN)
    check("the clean tree", status == 0 and lines[-1] == f"lint: {len(CLEAN)} files, 0 complaints", lines)
    status, lines, _ = lint({})
    check("an empty tree is no success", status == 1, lines)
    for name, (path, text, line, complaint) in PLANTED.items():
        status, lines, errors = lint({**CLEAN, path: text})
        found = [l for l in lines if l.startswith(f"{path}:{line}: ") and complaint in l]
        tally = re.fullmatch(r"lint: \d+ files, (\d+) complaints", lines[-1] if lines else "")
        check(name, status == 1 and found and tally and tally[1] != "0", lines + [errors])
    for name, (path, text) in INNOCENT.items():
        status, lines, errors = lint({**CLEAN, path: text})
        check(name, status == 0, lines + [errors])
    print(f"lint self test: {len(PLANTED)} planted, {len(INNOCENT)} innocent, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
