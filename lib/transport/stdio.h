/* transport/stdio: a command spoken to over its stdin and stdout, one JSON-RPC message a line. A link is
 * one process. It ends by closing stdin, then TERM, then KILL (CLOSE_GRACEFUL; in the background), or by
 * KILL at once. */
#ifndef MG_TRANSPORT_STDIO_H
#define MG_TRANSPORT_STDIO_H
#include <mcpgw/transport.h>

#include "loop/child.h"

struct mg_stdio_config {
  struct mg_loop *loop;    /* BORROWED; outlives the transport */
  const char *const *argv; /* this and the rest: COPIED */
  const char *const *env;
  const char *cwd;
  const char *launcher;                /* NULL: none, see loop/child.h */
  uint64_t term_ms, kill_ms;           /* 0 is 0: TERM (KILL) without waiting */
  uint64_t memory_bytes, cpu_s, files; /* limits of the command, 0 = inherit; need the launcher */
  const char *user;                    /* who it runs as; NULL: us; needs the launcher and root */
  uint64_t children;                   /* links at once, 0 = no ceiling: then open is MCPGW_E_LIMIT */
  const size_t *leaving; /* of its links, how many are to be closed next; BORROWED; NULL: none */
};
struct mg_stdio_stats { /* of all links of a transport, since it was made */
  uint64_t started, refused; /* refused: children was reached */
  uint64_t noise_lines, stderr_lines, hidden_lines; /* hidden: of both, not logged one by one */
  uint64_t dropped, held; /* messages too long or without memory; times that a flood was held back */
};
int mg_transport_stdio_new(const struct mg_stdio_config *config, void **transport);
void mg_transport_stdio_free(void *transport); /* all links must have been closed; NULL is fine */
int mg_transport_stdio_pid(const void *link); /* the impl of one of its links; 0: no process */
/* BORROWED until it is freed. */
const struct mg_stdio_stats *mg_transport_stdio_stats(const void *transport);
extern const mcpgw_transport_ops mg_transport_stdio_ops;
#endif
