/* store/owner: owns the identity of processes as /proc tells it. Must never take a process for dead that may live:
 * what it started would be taken for lost. */
#include "store/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mcpgw/types.h"

static int read_file(const char *path, char *out, size_t cap) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return MCPGW_E_NOT_FOUND;
  ssize_t n = read(fd, out, cap - 1);
  close(fd);
  if (n <= 0) return MCPGW_E_IO;
  out[n] = '\0';
  return MCPGW_OK;
}

static int boot_id(unsigned char out[16]) {
  char text[64];
  int rc = read_file("/proc/sys/kernel/random/boot_id", text, sizeof text), n = 0;
  if (rc != MCPGW_OK) return MCPGW_E_IO;
  memset(out, 0, 16);
  for (const char *p = text; *p && n < 32; p++) {
    int d = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;
    if (d < 0) continue;
    out[n / 2] = (unsigned char)(n % 2 ? out[n / 2] | d : d << 4);
    n++;
  }
  return n == 32 ? MCPGW_OK : MCPGW_E_IO;
}

/* Field 22 of /proc/PID/stat; the name in field 2 may hold blanks and brackets. */
static int start_of(uint32_t pid, uint64_t *out, char *state) {
  char path[64], text[1024];
  unsigned long long start;
  snprintf(path, sizeof path, "/proc/%u/stat", (unsigned)pid);
  int rc = read_file(path, text, sizeof text);
  if (rc != MCPGW_OK) return rc;
  const char *p = strrchr(text, ')');
  if (!p || p[1] != ' ') return MCPGW_E_IO;
  *state = p[2];
  p += 2;
  for (int field = 3; field < 22; field++) {
    p = strchr(p, ' ');
    if (!p) return MCPGW_E_IO;
    p++;
  }
  if (sscanf(p, "%llu", &start) != 1) return MCPGW_E_IO;
  *out = start;
  return MCPGW_OK;
}

int mg_owner_self(struct mg_owner *out) {
  struct stat st;
  char state;
  memset(out, 0, sizeof *out);
  out->pid = (uint32_t)getpid();
  if (boot_id(out->boot) != MCPGW_OK || start_of(out->pid, &out->start, &state) != MCPGW_OK) return MCPGW_E_IO;
  if (stat("/proc/self/ns/pid", &st) == 0) out->space = (uint64_t)st.st_ino;
  return MCPGW_OK;
}

int mg_owner_same(const struct mg_owner *a, const struct mg_owner *b) {
  return a->pid == b->pid && a->start == b->start && a->space == b->space && memcmp(a->boot, b->boot, sizeof a->boot) == 0;
}

int mg_owner_alive(const struct mg_owner *o, const struct mg_owner *self) {
  uint64_t start;
  char state;
  if (memcmp(o->boot, self->boot, sizeof o->boot) != 0) return 0; /* the machine was started anew since */
  if (o->space != self->space) return 1;
  int rc = start_of(o->pid, &start, &state);
  if (rc == MCPGW_E_NOT_FOUND) return kill((pid_t)o->pid, 0) == 0 || errno == EPERM; /* /proc may hide others */
  return rc != MCPGW_OK || (start == o->start && state != 'Z' && state != 'X');
}

static void put(unsigned char *p, uint64_t v, int n) {
  for (int i = 0; i < n; i++) p[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t get(const unsigned char *p, int n) {
  uint64_t v = 0;
  while (n-- > 0) v = v << 8 | p[n];
  return v;
}

void mg_owner_encode(const struct mg_owner *o, unsigned char out[MG_OWNER_LEN]) {
  memcpy(out, o->boot, 16);
  put(out + 16, o->space, 8);
  put(out + 24, o->start, 8);
  put(out + 32, o->pid, 4);
}

void mg_owner_decode(const unsigned char in[MG_OWNER_LEN], struct mg_owner *out) {
  memcpy(out->boot, in, 16);
  out->space = get(in + 16, 8);
  out->start = get(in + 24, 8);
  out->pid = (uint32_t)get(in + 32, 4);
}
