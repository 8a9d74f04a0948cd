"""The tables of `make lint`: who may include whom, which calls are banned where. Edit here, not in lint.py."""

# DESIGN section 2. A room may always include itself, <mcpgw/types.h> and <mcpgw/transport.h>.
ROOMS = {
    "base": "",
    "json": "base",
    "crypt": "base json",
    "loop": "base",
    "store": "base crypt",
    "wire": "base json",
    "config": "base json",
    # core reads the immutable snapshot of config (data only); DESIGN's table leaves it out, as it does base for
    # api, whose doors keep error texts: both are said in the note to the issue.
    "core": "base json crypt store wire config",
    "http": "base loop",
    "transport": "base http loop",
    "gateway": "base json crypt loop store wire config core http transport",
    "api": "base json gateway core store crypt config",
}
ROOMS = {room: set(may.split()) for room, may in ROOMS.items()}

# Public headers beyond types.h and transport.h: the room of their noun, besides gateway and api.
EVERYWHERE = {"types.h", "transport.h"}
NOUN = {
    "store.h": "store",
    "session.h": "core",
    "delegation.h": "core",
    "idempotency.h": "core",
    "policy.h": "core",
    "trace.h": "core",
}

# Foreign headers and the one room that may see them.
FENCES = {
    "curl": "http",
    "llhttp": "http",
    "jansson": "json",
    "sodium": "crypt",
    "cjose": "crypt",
    "lmdb": "store",
    "uv": "loop",
}

# What is not foreign: C, POSIX, Linux.
SYSTEM = set(
    """assert ctype dirent dlfcn endian errno fcntl fenv float fnmatch getopt glob grp inttypes libgen limits
    locale math netdb poll pthread pwd regex sched setjmp signal spawn stdarg stdatomic stdalign stdbool stddef
    stdint stdio stdlib stdnoreturn string strings syslog termios time unistd wchar emmintrin immintrin
    tmmintrin arm_neon""".split()
)
SYSTEM_DIRS = {"sys", "netinet", "arpa", "net", "linux"}
PUBLIC_SYSTEM = {"stddef.h", "stdint.h"}  # all that a public header may include of the system

# Calls nobody makes: lib, cmd and examples.
UNSAFE = "strcpy strcat sprintf vsprintf gets strtok alloca atoi".split()
# A library is a guest: calls banned in lib.
GUEST = {
    "the library never ends its host": "abort exit _exit quick_exit assert",
    "signal handlers are the host's": "signal sigaction",
    "the process's locale, directory and environment are the host's": "setlocale chdir fchdir getenv secure_getenv "
    "setenv putenv unsetenv",
    "the library is silent": "printf vprintf puts putchar perror psignal",
}
ALLOCATORS = "malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf".split()
ALLOCATORS_LIVE_IN = "base"  # the one room that may call them
SILENT = "stdout stderr".split()  # names that do not occur in lib

# Words that do not occur in a public header.
ABI_WORDS = "inline bool _Bool long ssize_t FILE va_list".split()

FILE_LINES = 800
FUNCTION_LINES = 80
FUNCTION_LINES_FEW = 40  # only counted
