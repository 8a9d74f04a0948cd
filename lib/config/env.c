/* config/env: the environment of a child process: the inherited few of DESIGN section 11, then the
 * server's envFile, then its env. Also reads files, the one thing of this room that touches the system.
 * A child never inherits anything that is not named here; values never reach a text. */
#include "base/mem.h"
#include "config/build.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ------------------------------------------------------------------------------------------ */
static int say(char why[128], const char *what, int error) {
  char buf[96];
  const char *text = error ? strerror_r(error, buf, sizeof buf) : "";
  snprintf(why, 128, "%s%s%s", what, error ? ": " : "", text);
  return MCPGW_E_IO;
}

static int read_all(int fd, size_t max, struct mg_buf *out, char why[128]) {
  char piece[4096];
  for (;;) {
    ssize_t n = read(fd, piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return say(why, "cannot be read", errno);
    if (n == 0) break;
    if (out->len + (size_t)n > max) {
      snprintf(why, 128, "is longer than %zu bytes", max);
      return MCPGW_E_LIMIT;
    }
    int rc = mg_buf_add(out, piece, (size_t)n);
    if (rc != MCPGW_OK) return rc;
  }
  explicit_bzero(piece, sizeof piece);
  return MCPGW_OK;
}

int mg_config_slurp(const char *path, size_t max, int regular, struct mg_buf *out, char why[128]) {
  struct stat st;
  int rc = MCPGW_E_INTERNAL;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (regular ? O_NONBLOCK : 0));
  if (fd < 0) return say(why, "cannot be opened", errno);
  if (fstat(fd, &st) != 0) rc = say(why, "cannot be read", errno);
  else if (S_ISDIR(st.st_mode)) rc = say(why, "is a directory", 0);
  else if (regular && !S_ISREG(st.st_mode)) rc = say(why, "is not a regular file", 0);
  else rc = read_all(fd, max, out, why);
  close(fd);
  return rc;
}

/* ---- the list, in which a later entry replaces an earlier one of the same name ------------------------- */
static size_t find_name(const struct mg_cfg_list *l, struct mg_slice name) {
  size_t i = 0;
  while (i < l->n && (strncmp(l->v[i], name.ptr, name.len) != 0 || l->v[i][name.len] != '=')) i++;
  return i;
}

static int set(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_cfg_list *l,
               struct mg_slice name, struct mg_slice value) {
  size_t i = find_name(l, name);
  if (i == MG_CFG_ENV) return mg_config_fail(b, at, "more than %d variables for one server", MG_CFG_ENV);
  const char *entry = mg_config_join(b->snap, name, "=", value);
  if (!entry) return mg_config_fail_mem(b, at);
  if (i < l->n) l->v[i] = entry;
  else if (mg_config_list_add(b->snap, l, entry) != MCPGW_OK) return mg_config_fail_mem(b, at);
  return MCPGW_OK;
}

static void unset(struct mg_cfg_list *l, struct mg_slice name) {
  size_t i = find_name(l, name);
  if (i == l->n) return;
  memmove(l->v + i, l->v + i + 1, (l->n - i) * sizeof *l->v); /* the NULL at the end comes along */
  l->n--;
}

/* What is ours alone means nothing to a child that runs as somebody else. */
static int inherit(struct mg_cfg_build *b, const struct mg_cfg_at *at, int other_user, struct mg_cfg_list *l) {
  static const char *const all[] = {"LANG", "PATH",    "TERM",  "TZ",     "HOME",
                                    "USER", "LOGNAME", "SHELL", "TMPDIR", NULL};
  static const char *const of_others[] = {"LANG", "PATH", "TERM", "TZ", NULL};
  const char *const *names = other_user ? of_others : all;
  for (size_t i = 0; b->env && b->env[i]; i++) {
    struct mg_slice value = mg_slice_z(b->env[i]), name;
    if (!memchr(value.ptr, '=', value.len)) continue;
    mg_slice_cut(&value, '=', &name);
    size_t k = 0;
    while (names[k] && !mg_slice_eqz(name, names[k])) k++;
    if (!names[k] && !mg_slice_starts(name, MG_LIT("LC_"))) continue;
    int rc = set(b, at, l, name, value);
    if (rc != MCPGW_OK) return rc;
  }
  return MCPGW_OK;
}

static int good_name(struct mg_slice name) {
  for (size_t i = 0; i < name.len; i++)
    if ((unsigned char)name.ptr[i] <= 0x20 || name.ptr[i] == '=' || name.ptr[i] == 0x7f) return 0;
  return name.len > 0;
}

/* ---- envFile ---------------------------------------------------------------------------------------- */
static struct mg_slice unquoted(struct mg_slice v) {
  for (size_t i = 0; i < v.len; i++)
    if (v.ptr[i] == '#' && (i == 0 || v.ptr[i - 1] == ' ' || v.ptr[i - 1] == '\t'))
      return mg_slice_trim(mg_slice_sub(v, 0, i));
  return mg_slice_trim(v);
}

/* v begins with a quote. '...' is taken as it is; "..." knows \n \r \t \" \\ \$. After the closing quote
 * only blanks and a comment may follow. NULL or what is wrong. */
static const char *quoted(struct mg_slice v, struct mg_buf *out) {
  const char quote = v.ptr[0];
  size_t i = 1;
  for (; i < v.len && v.ptr[i] != quote; i++) {
    char c = v.ptr[i];
    if (quote == '"' && c == '\\' && i + 1 < v.len) {
      c = v.ptr[++i];
      if (c == 'n') c = '\n';
      else if (c == 'r') c = '\r';
      else if (c == 't') c = '\t';
      else if (c != '"' && c != '\\' && c != '$') mg_buf_addc(out, '\\');
    }
    mg_buf_addc(out, c);
  }
  if (i == v.len) return "the quote is not closed on its line";
  struct mg_slice rest = mg_slice_trim(mg_slice_sub(v, i + 1, v.len));
  return rest.len == 0 || rest.ptr[0] == '#' ? NULL : "there is text after the closing quote";
}

static int line_error(struct mg_cfg_build *b, const struct mg_cfg_at *at, size_t line, const char *what) {
  return mg_config_fail(b, at, "line %zu of the file: %s", line, what);
}

static int read_line(struct mg_cfg_build *b, const struct mg_cfg_at *at, size_t no, struct mg_slice line,
                     struct mg_cfg_list *l) {
  struct mg_slice name;
  line = mg_slice_trim(line);
  if (line.len == 0 || line.ptr[0] == '#') return MCPGW_OK;
  if (mg_slice_starts(line, MG_LIT("export "))) line = mg_slice_trim(mg_slice_sub(line, 7, line.len));
  if (!memchr(line.ptr, '=', line.len)) return line_error(b, at, no, "must be NAME=value");
  mg_slice_cut(&line, '=', &name);
  name = mg_slice_trim(name);
  if (!good_name(name)) return line_error(b, at, no, "what stands before = is not a name");
  line = mg_slice_trim(line);
  if (memchr(line.ptr, '\0', line.len)) return line_error(b, at, no, "must not hold a NUL byte");
  if (line.len == 0 || (line.ptr[0] != '"' && line.ptr[0] != '\''))
    return set(b, at, l, name, unquoted(line));
  mg_buf_reset(&b->scratch);
  const char *bad = quoted(line, &b->scratch);
  if (bad) return line_error(b, at, no, bad);
  if (mg_buf_rc(&b->scratch) != MCPGW_OK) return mg_config_fail_mem(b, at);
  return set(b, at, l, name, mg_buf_slice(&b->scratch));
}

int mg_config_dotenv(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_slice text,
                     struct mg_cfg_list *l) {
  int rc = MCPGW_OK;
  if (mg_slice_starts(text, MG_LIT("\xef\xbb\xbf"))) text = mg_slice_sub(text, 3, text.len);
  for (size_t no = 1; text.len > 0 && rc == MCPGW_OK; no++) {
    const char *end = memchr(text.ptr, '\n', text.len);
    size_t n = end ? (size_t)(end - text.ptr) : text.len;
    size_t len = n > 0 && text.ptr[n - 1] == '\r' ? n - 1 : n;
    rc = read_line(b, at, no, mg_slice(text.ptr, len), l);
    text = mg_slice_sub(text, end ? n + 1 : n, text.len);
  }
  return rc;
}

static int read_file(struct mg_cfg_build *b, const struct mg_cfg_at *up, const struct mg_node *node,
                     struct mg_cfg_list *l) {
  struct mg_cfg_at at = mg_config_at_key(up, MG_LIT("envFile"));
  struct mg_buf text;
  char why[128] = "";
  const char *path = NULL;
  int rc = mg_config_text(b, &at, node, &path);
  if (rc != MCPGW_OK || (rc = mg_config_file_name(b, &at, path, &path)) != MCPGW_OK) return rc;
  mg_buf_init(&text, MG_CFG_ENVFILE_BYTES + 1);
  rc = mg_config_slurp(path, MG_CFG_ENVFILE_BYTES, 1, &text, why);
  if (rc == MCPGW_OK) rc = mg_config_dotenv(b, &at, mg_buf_slice(&text), l);
  else if (rc == MCPGW_E_NOMEM) rc = mg_config_fail_mem(b, &at);
  else rc = mg_config_fail(b, &at, "the file %s", why);
  if (text.ptr) explicit_bzero(text.ptr, text.cap);
  mg_buf_done(&text);
  return rc;
}

/* ---- env -------------------------------------------------------------------------------------------- */
/* The shortest decimal that reads back as the same number. The host's locale may have another point. */
static void print_real(double d, char out[40]) {
  size_t n = 0;
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(out, 40, "%.*g", digits, d);
    if (strtod(out, NULL) == d) break;
  }
  for (const char *p = out; *p; p++) {
    if (strchr("0123456789eE+-", *p)) out[n++] = *p;
    else if (n > 0 && out[n - 1] != '.') out[n++] = '.';
  }
  out[n] = '\0';
}

static int scalar(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_node *node,
                  char num[40], struct mg_slice *out) {
  int64_t i = 0;
  double d = 0;
  int truth = 0, rc = MCPGW_OK;
  const char *text = num;
  if (mg_node_type(node) == MG_JSON_STRING) rc = mg_config_text(b, at, node, &text);
  else if (mg_node_bool(node, &truth) == MCPGW_OK) text = truth ? "true" : "false";
  else if (mg_node_i64(node, &i) == MCPGW_OK) snprintf(num, 40, "%lld", (long long)i);
  else if (mg_node_real(node, &d) == MCPGW_OK) print_real(d, num);
  else rc = mg_config_fail(b, at, "must be a string, a number, true, false, or null to leave it out");
  *out = mg_slice_z(text);
  return rc;
}

static int read_env(struct mg_cfg_build *b, const struct mg_cfg_at *up, const struct mg_node *object,
                    struct mg_cfg_list *l) {
  struct mg_cfg_at env = mg_config_at_key(up, MG_LIT("env"));
  struct mg_slice name, value;
  const struct mg_node *node;
  void *it = NULL;
  char num[40] = "";
  int rc = MCPGW_OK;
  if (mg_node_type(object) != MG_JSON_OBJECT)
    return mg_config_fail(b, &env, "must be an object of NAME: value");
  while (rc == MCPGW_OK && mg_node_next(object, &it, &name, &node)) {
    struct mg_cfg_at at = mg_config_at_key(&env, name);
    if (!good_name(name)) return mg_config_fail(b, &at, "is not the name of a variable");
    if (mg_node_type(node) == MG_JSON_NULL) {
      unset(l, name);
      continue;
    }
    rc = scalar(b, &at, node, num, &value);
    if (rc == MCPGW_OK) rc = set(b, &at, l, name, value);
  }
  return rc;
}

int mg_config_child_env(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_node *entry,
                        struct mg_cfg_server *sv) {
  const struct mg_node *file = mg_node_get(entry, "envFile"), *env = mg_node_get(entry, "env");
  struct mg_cfg_list l = {NULL, 0, 0};
  int rc = inherit(b, at, sv->user != NULL, &l);
  if (rc == MCPGW_OK && file) rc = read_file(b, at, file, &l);
  if (rc == MCPGW_OK && env) rc = read_env(b, at, env, &l);
  if (rc == MCPGW_OK) sv->env = mg_config_list_v(&l);
  return rc;
}
