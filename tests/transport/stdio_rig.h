/* tests/transport/stdio_rig: a link to a real process. */
#ifndef TEST_TRANSPORT_STDIO_RIG_H
#define TEST_TRANSPORT_STDIO_RIG_H
#include <check.h>

#include "transport/fake_host.h"
#include "transport/stdio.h"

struct stdio_rig {
  struct mg_loop *loop;
  struct mcpgw_link *link;
  struct mg_stdio_config config;
  void *transport, *impl;
  int64_t live;
  char *log; /* all log lines: "level event text\n" */
  size_t log_len;
};
extern const mcpgw_transport_ops *const stdio_ops;
void stdio_rig_init(struct stdio_rig *r); /* a loop and a link; no process */
int stdio_rig_open(struct stdio_rig *r, const char *const *argv);
void stdio_rig_sh(struct stdio_rig *r, const char *script); /* init and open sh -c script */
void stdio_rig_py(struct stdio_rig *r, const char *script); /* init and open python3 -c script */
/* A process whose stdout is exactly these bytes, after it has read a line. */
void stdio_rig_says(struct stdio_rig *r, const char *bytes);
int stdio_rig_send(struct stdio_rig *r, uint64_t call, const char *text); /* call 0: a notification */
void stdio_rig_close(struct stdio_rig *r, unsigned flags);
/* Closes if still open; ends all processes; nothing may leak, nothing may have come after close. */
void stdio_rig_down(struct stdio_rig *r);
int stdio_rig_logged(const struct stdio_rig *r, const char *part); /* how often */
#endif
