/* gateway/keys: owns the keys that outlive the process: two in one file of state_dir, the newest seals, both open.
 * The file is replaced as a whole, by one process at a time; who finds it changed reads it again. Without a
 * directory, or with one that cannot be used, the keys are the process's own and handles end with it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "crypt/seal.h"
#include "gateway/gateway.h"

#define HEADER "mcpgw keys 1\n"
#define FILE_MAX 4096
#define DAY_MS 86400000u
#define ROTATE_MS (7u * (uint64_t)DAY_MS) /* or as long as a context may live, if that is longer */
#define LOOK_MS 3600000u                  /* how often it is looked whether it is time */
#define RELOAD_MS 1000u                   /* a handle that does not open makes us read the file at most so often */
#define LOCK_TRIES 100
#define LOCK_PAUSE_NS 10000000

struct ring { /* what a file holds: newest first */
  struct mg_seal_key *key[2];
  uint64_t made_ms[2];
};

static void ring_done(struct ring *r) {
  mg_seal_key_free(r->key[0]);
  mg_seal_key_free(r->key[1]);
  *r = (struct ring){{NULL, NULL}, {0, 0}};
}

static int fault(struct mcpgw_gateway *gw, int rc, const char *what, const char *why) {
  char text[300];
  snprintf(text, sizeof text, "%s: %s", what, why);
  mg_log(&gw->log, MG_LOG_ERROR, "keys.failed", "state_dir", gw->config->state_dir, "text", text, (char *)0);
  return rc;
}

/* ---- text ---------------------------------------------------------------------------------------------- */

static int digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_key(struct mg_slice hex, struct mg_seal_key **out) {
  unsigned char raw[MG_SEAL_KEY_LEN];
  int rc = hex.len == 2 * sizeof raw ? MCPGW_OK : MCPGW_E_PARSE;
  for (size_t i = 0; rc == MCPGW_OK && i < sizeof raw; i++) {
    int hi = digit(hex.ptr[2 * i]), lo = digit(hex.ptr[2 * i + 1]);
    if (hi < 0 || lo < 0) rc = MCPGW_E_PARSE;
    else raw[i] = (unsigned char)(hi * 16 + lo);
  }
  if (rc == MCPGW_OK) rc = mg_seal_key_import(mg_slice(raw, sizeof raw), out);
  mg_secret_wipe(raw, sizeof raw);
  return rc;
}

/* "mcpgw keys 1", then a line "<unix ms> <hex>" for each of one or two. */
static int read_ring(struct mg_slice text, struct ring *r) {
  struct mg_slice line, made;
  size_t n = 0;
  int rc = MCPGW_OK;
  if (!mg_slice_starts(text, MG_LIT(HEADER))) return MCPGW_E_UNSUPPORTED;
  text = mg_slice_sub(text, sizeof HEADER - 1, text.len);
  while (rc == MCPGW_OK && text.len && mg_slice_cut(&text, '\n', &line)) {
    if (n == 2 || !mg_slice_cut(&line, ' ', &made) || mg_slice_u64(made, &r->made_ms[n]) != MCPGW_OK) rc = MCPGW_E_PARSE;
    else rc = read_key(line, &r->key[n++]);
  }
  return rc == MCPGW_OK && !n ? MCPGW_E_PARSE : rc;
}

static size_t write_ring(const struct ring *r, char *out) {
  static const char hex[] = "0123456789abcdef";
  size_t len = sizeof HEADER - 1;
  memcpy(out, HEADER, len);
  for (int i = 0; i < 2 && r->key[i]; i++) {
    struct mg_slice raw = mg_seal_key_raw(r->key[i]);
    len += (size_t)snprintf(out + len, 32, "%llu ", (unsigned long long)r->made_ms[i]);
    for (size_t k = 0; k < raw.len; k++) {
      out[len++] = hex[(unsigned char)raw.ptr[k] >> 4];
      out[len++] = hex[(unsigned char)raw.ptr[k] & 15];
    }
    out[len++] = '\n';
  }
  return len;
}

/* ---- files ------------------------------------------------------------------------------------------------ */

/* The directory, opened; made for us alone, with those above it, where it is not there. */
static int open_dir(struct mcpgw_gateway *gw, int *out) {
  char path[4096];
  size_t n = strlen(gw->config->state_dir);
  if (n >= sizeof path) return fault(gw, MCPGW_E_INVALID, "state_dir", "its name is too long");
  memcpy(path, gw->config->state_dir, n + 1);
  for (char *p = path + 1; p <= path + n; p++) {
    if (*p != '/' && *p) continue;
    char was = *p;
    *p = 0;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) return fault(gw, MCPGW_E_IO, path, strerror(errno));
    *p = was;
  }
  *out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return *out < 0 ? fault(gw, MCPGW_E_IO, path, strerror(errno)) : MCPGW_OK;
}

/* A file that others can read holds no secrets. NOT_FOUND: there is none. */
static int read_file(struct mcpgw_gateway *gw, int dir, struct ring *r) {
  struct stat st;
  int fd = openat(dir, "keys", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return errno == ENOENT ? MCPGW_E_NOT_FOUND : fault(gw, MCPGW_E_IO, "keys", strerror(errno));
  char *text = mg_secret_alloc(FILE_MAX);
  ssize_t n = text ? read(fd, text, FILE_MAX) : -1;
  int rc = MCPGW_E_IO;
  if (fstat(fd, &st) != 0 || n < 0) fault(gw, rc, "keys", text ? strerror(errno) : "out of memory");
  else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
    fault(gw, rc, "keys", "others can read or write it, or it is not ours: chmod 600, or remove it");
  else if ((rc = read_ring(mg_slice(text, (size_t)n), r)) != MCPGW_OK)
    fault(gw, rc, "keys", rc == MCPGW_E_UNSUPPORTED ? "it is of another version" : "it is damaged: remove it");
  if (rc != MCPGW_OK) ring_done(r);
  mg_secret_free(text);
  close(fd);
  return rc;
}

static int write_all(int fd, const char *p, size_t n) {
  while (n) {
    ssize_t w = write(fd, p, n);
    if (w < 0 && errno == EINTR) continue;
    if (w <= 0) return -1;
    p += w;
    n -= (size_t)w;
  }
  return fsync(fd);
}

/* As a whole or not at all. */
static int replace_file(struct mcpgw_gateway *gw, int dir, const struct ring *r) {
  char name[64], id[MG_ID_LEN + 1];
  char *text = mg_secret_alloc(FILE_MAX);
  if (!text || mg_id_new(id) != MCPGW_OK) {
    mg_secret_free(text);
    return fault(gw, MCPGW_E_NOMEM, "keys", "out of memory or randomness");
  }
  snprintf(name, sizeof name, "keys.%s", id);
  int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  int ok = fd >= 0 && write_all(fd, text, write_ring(r, text)) == 0;
  ok = ok && renameat(dir, name, dir, "keys") == 0 && fsync(dir) == 0;
  int why = errno;
  if (fd >= 0) close(fd);
  if (!ok && fd >= 0) unlinkat(dir, name, 0);
  mg_secret_free(text);
  return ok ? MCPGW_OK : fault(gw, MCPGW_E_IO, "keys", strerror(why));
}

/* One process at a time. tries 1: now or not. */
static int lock(int dir, int tries) {
  static const struct timespec pause = {0, LOCK_PAUSE_NS};
  int fd = openat(dir, "keys.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (--tries <= 0 || errno != EWOULDBLOCK) {
      close(fd);
      return -1;
    }
    nanosleep(&pause, NULL);
  }
  return fd;
}

/* ---- the keys ------------------------------------------------------------------------------------------------- */

static void use(struct mcpgw_gateway *gw, struct ring *r) {
  mg_core_set_keys(gw->core, r->key[0], r->key[1]);
  mg_seal_key_free(gw->keys[0]);
  mg_seal_key_free(gw->keys[1]);
  gw->keys[0] = r->key[0];
  gw->keys[1] = r->key[1];
  gw->keys_made_ms = r->made_ms[0];
}

static int is_due(const struct mcpgw_gateway *gw, uint64_t made_ms) {
  uint64_t age = gw->config->contexts.absolute_ms > ROTATE_MS ? gw->config->contexts.absolute_ms : ROTATE_MS;
  return mg_unix_ms() > made_ms + age;
}

/* Puts a new key before the newest, which stays for those handles that are about. */
static int rotate(struct mcpgw_gateway *gw, int dir, struct ring *r) {
  struct ring next = {{NULL, r->key[0]}, {mg_unix_ms(), r->made_ms[0]}};
  int rc = mg_seal_key_generate(&next.key[0]);
  if (rc == MCPGW_OK) rc = replace_file(gw, dir, &next);
  if (rc != MCPGW_OK) {
    mg_seal_key_free(next.key[0]);
    return rc;
  }
  mg_seal_key_free(r->key[1]);
  *r = next;
  mg_log(&gw->log, MG_LOG_INFO, "keys.made", "state_dir", gw->config->state_dir, (char *)0);
  return MCPGW_OK;
}

/* Reads the file; makes it, or a new key in it, when it is time and nobody else does. */
static int refresh(struct mcpgw_gateway *gw, int tries) {
  struct ring r = {{NULL, NULL}, {0, 0}};
  int dir = -1, held = -1, rc = open_dir(gw, &dir);
  if (rc == MCPGW_OK) rc = read_file(gw, dir, &r);
  if (rc == MCPGW_E_NOT_FOUND || (rc == MCPGW_OK && is_due(gw, r.made_ms[0]))) {
    held = lock(dir, tries);
    int found = rc;
    ring_done(&r);
    if (held >= 0) rc = read_file(gw, dir, &r); /* somebody may have been faster */
    else rc = found == MCPGW_OK ? read_file(gw, dir, &r) : fault(gw, MCPGW_E_IO, "keys.lock", "another process holds it");
    if (held >= 0 && (rc == MCPGW_E_NOT_FOUND || (rc == MCPGW_OK && is_due(gw, r.made_ms[0])))) rc = rotate(gw, dir, &r);
  }
  if (rc == MCPGW_OK) use(gw, &r);
  else ring_done(&r);
  if (held >= 0) close(held);
  if (dir >= 0) close(dir);
  return rc;
}

static void on_alarm(struct mg_alarm *a, uint64_t now_ms) {
  struct mcpgw_gateway *gw = MG_CONTAINER(a, struct mcpgw_gateway, keys_alarm);
  refresh(gw, 1);
  mg_gw_alarm(gw, a, now_ms + LOOK_MS);
}

void mg_keys_start(struct mcpgw_gateway *gw) {
  if (!gw->config->state_dir) return;
  if (refresh(gw, LOCK_TRIES) != MCPGW_OK)
    mg_log(&gw->log, MG_LOG_WARN, "keys.ephemeral", "text", "handles of contexts end with this process", (char *)0);
  gw->keys_alarm.fire = on_alarm;
  mg_gw_alarm(gw, &gw->keys_alarm, mg_gw_now(gw) + LOOK_MS);
}

int mg_keys_look(struct mcpgw_gateway *gw, uint64_t now_ms) {
  uint64_t before = gw->keys_made_ms;
  if (!gw->config->state_dir || now_ms < gw->keys_looked_ms + RELOAD_MS) return 0;
  gw->keys_looked_ms = now_ms;
  return refresh(gw, 1) == MCPGW_OK && gw->keys_made_ms != before;
}

void mg_keys_done(struct mcpgw_gateway *gw) {
  mg_gw_alarm_off(gw, &gw->keys_alarm);
  mg_seal_key_free(gw->keys[0]);
  mg_seal_key_free(gw->keys[1]);
}
