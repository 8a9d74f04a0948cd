/* http/call: one exchange on a pooled easy handle: its options, libcurl's callbacks, and the exact
 * account of what of the request was let out. Handles are reused without a reset; only what differs from
 * the last use is set. Must never let a request body out twice, which libcurl does of its own accord when a
 * reused connection dies without a reply: the pre-request hook stops the repetition, and where the body is
 * read in pieces, a seek callback that refuses does too. */
#include "http/client_priv.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { METHOD_NONE, METHOD_POST, METHOD_GET, METHOD_DELETE };

static int abort_call(struct mg_http_call *call, int rc, const char *text) {
  if (call->abort_rc == MCPGW_OK) {
    call->abort_rc = rc;
    mg_err_set(&call->abort_text, rc, "%s", text);
  }
  return rc;
}

/* ---- libcurl asks and tells --------------------------------------------------------------------- */
static int on_prereq(void *arg, char *ip, char *local_ip, int port, int local_port) {
  struct mg_http_call *call = arg;
  (void)ip, (void)local_ip, (void)port;
  call->port = local_port;
  if (call->dead) return CURL_PREREQFUNC_ABORT;
  if (call->sent) { /* the connection died under the request and libcurl wants to send it again */
    abort_call(call, MCPGW_E_CLOSED, "connection closed before a reply came; not sent again");
    return CURL_PREREQFUNC_ABORT;
  }
  if (!call->connected) (void)mg_http_client_deadline(call, call->end_ms);
  call->connected = 1;
  if (call->whole) { /* it is written right after this returns */
    call->sent = mg_blob_len(call->body);
    if (call->ev.sent) call->ev.sent(call->arg);
  }
  return call->dead ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static size_t on_read(char *to, size_t size, size_t n, void *arg) {
  struct mg_http_call *call = arg;
  struct mg_slice rest;
  if (call->dead) return CURL_READFUNC_ABORT;
  rest = call->body ? mg_slice_sub(mg_blob_slice(call->body), call->sent, size * n) : mg_slice(NULL, 0);
  if (!rest.len) return 0;
  memcpy(to, rest.ptr, rest.len);
  int first = call->sent == 0;
  call->sent += rest.len;
  if (first && call->ev.sent) call->ev.sent(call->arg);
  return rest.len;
}

static int on_seek(void *arg, curl_off_t offset, int origin) {
  (void)arg, (void)offset, (void)origin;
  return CURL_SEEKFUNC_FAIL;
}

static void head_begin(struct mg_http_call *call, struct mg_slice line) {
  struct mg_slice code;
  uint64_t n = 0;
  mg_buf_reset(&call->head);
  memset(call->span, 0, sizeof call->span);
  call->status = call->n_session = call->coded = 0;
  (void)mg_slice_cut(&line, ' ', &code); /* HTTP/1.1 */
  (void)mg_slice_cut(&line, ' ', &code);
  if (mg_slice_u64(code, &n) == MCPGW_OK && n <= 999) call->status = (int)n;
}

static void head_keep(struct mg_http_call *call, int which, struct mg_slice value) {
  if (call->span[which].len) return; /* the first one counts */
  call->span[which] = (struct head_span){call->head.len, value.len};
  (void)mg_buf_adds(&call->head, value); /* its failure is looked at when the head is complete */
}

static void head_line(struct mg_http_call *call, struct mg_slice line) {
  static const char *const names[HEAD_N] = {"content-type", "mcp-session-id", "www-authenticate",
                                            "retry-after", "location"};
  struct mg_slice name;
  if (!memchr(line.ptr, ':', line.len)) return;
  (void)mg_slice_cut(&line, ':', &name);
  line = mg_slice_trim(line);
  if (mg_slice_ieqz(name, "content-encoding") && line.len && !mg_slice_ieqz(line, "identity"))
    call->coded = 1;
  for (int i = 0; i < HEAD_N; i++) {
    if (!mg_slice_ieqz(name, names[i])) continue;
    if (i == HEAD_SESSION) call->n_session++;
    head_keep(call, i, line);
  }
}

static struct mg_slice head_get(const struct mg_http_call *call, int which) {
  return mg_slice_sub(mg_buf_slice(&call->head), call->span[which].from, call->span[which].len);
}

static int head_end(struct mg_http_call *call) {
  struct mg_http_response r = {.status = call->status, .count_session_id = call->n_session};
  struct mg_slice type = head_get(call, HEAD_TYPE), plain = type;
  int rc;
  if (call->status < 200) return MCPGW_OK; /* 100, 103: the real one follows */
  if (mg_buf_rc(&call->head) != MCPGW_OK) return abort_call(call, mg_buf_rc(&call->head), "out of memory");
  if (call->coded)
    return abort_call(call, MCPGW_E_PARSE, "reply has a content-encoding that was not asked for");
  if (type.len) (void)mg_slice_cut(&type, ';', &plain);
  r.content_type = mg_slice_trim(plain);
  r.session_id = head_get(call, HEAD_SESSION);
  r.www_authenticate = head_get(call, HEAD_AUTHENTICATE);
  r.retry_after = head_get(call, HEAD_RETRY_AFTER);
  r.location = head_get(call, HEAD_LOCATION);
  call->head_done = 1;
  if (!call->ev.head || (rc = call->ev.head(call->arg, &r)) == MCPGW_OK || call->dead) return MCPGW_OK;
  return abort_call(call, rc, "reply refused");
}

static size_t on_header(char *data, size_t size, size_t n, void *arg) {
  struct mg_http_call *call = arg;
  struct mg_slice line = mg_slice(data, size * n);
  if (call->dead) return 0;
  call->head_bytes += line.len;
  if (call->head_bytes > HTTP_HEADERS_IN) {
    abort_call(call, MCPGW_E_LIMIT, "response headers are larger than 64 KiB");
    return 0;
  }
  if (call->head_done) return line.len; /* trailers */
  while (line.len && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r')) line.len--;
  if (line.len >= 5 && !memcmp(line.ptr, "HTTP/", 5)) head_begin(call, line);
  else if (line.len) head_line(call, line);
  else if (head_end(call) != MCPGW_OK || call->dead) return 0;
  return size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg) {
  struct mg_http_call *call = arg;
  int rc;
  if (call->dead || call->abort_rc != MCPGW_OK) return CURL_WRITEFUNC_ERROR;
  if (!call->ev.body) return size * n;
  rc = call->ev.body(call->arg, data, size * n);
  if (call->dead) return CURL_WRITEFUNC_ERROR;
  if (rc == MCPGW_E_AGAIN) return CURL_WRITEFUNC_PAUSE;
  if (rc == MCPGW_OK) return size * n;
  abort_call(call, rc, "reply refused");
  return CURL_WRITEFUNC_ERROR;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address) {
  int fd = mg_http_client_socket_open(arg, address);
  (void)purpose;
  return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int on_close(void *arg, curl_socket_t fd) {
  mg_http_client_socket_forget(arg, fd);
  return close(fd);
}

/* ---- handles and options ------------------------------------------------------------------------ */
static int easy_init(struct mg_http_call *call) {
  CURL *e = curl_easy_init();
  CURLcode rc = CURLE_OK;
  if (!e) return MCPGW_E_NOMEM;
  call->easy = e;
  rc |= curl_easy_setopt(e, CURLOPT_PRIVATE, call);
  rc |= curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->curl_text);
  rc |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  rc |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  rc |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  rc |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
  rc |= curl_easy_setopt(e, CURLOPT_PROXY, ""); /* else the environment's, which these two keep unread */
  rc |= curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
  rc |= curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L); /* a stream that says nothing: its peer may have vanished */
  rc |= curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, (long)call->client->patience_s);
  rc |= curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, (long)(call->client->patience_s + 2) / 3);
  rc |= curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L); /* removal never waits for a resolver's thread */
  rc |= curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_prereq);
  rc |= curl_easy_setopt(e, CURLOPT_PREREQDATA, call);
  rc |= curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
  rc |= curl_easy_setopt(e, CURLOPT_READDATA, call);
  rc |= curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
  rc |= curl_easy_setopt(e, CURLOPT_SEEKDATA, call);
  rc |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
  rc |= curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
  rc |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
  rc |= curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
  /* connections outlive the handle that opened them: these two belong to the client */
  rc |= curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open);
  rc |= curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, call->client);
  rc |= curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close);
  rc |= curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, call->client);
  return rc == CURLE_OK ? MCPGW_OK : MCPGW_E_NOMEM;
}

void mg_http_call_destroy(struct mg_http_call *call) {
  struct mg_http_client *c = call->client;
  size_t *count = call->dead == 2 ? &c->n_idle : &c->n_live;
  if (call->node.next) (*count)--;
  mg_list_del(&call->node);
  mg_list_del(&call->todo);
  mg_heap_del(&c->deadlines, &call->deadline);
  call->dead = 1;
  if (call->multi) curl_multi_remove_handle(call->multi->handle, call->easy);
  if (call->easy) curl_easy_cleanup(call->easy);
  curl_url_cleanup(call->parts);
  mg_blob_unref(call->body);
  mg_buf_done(&call->text);
  mg_buf_done(&call->head);
  mg_free(call->lines);
  mg_free(call->url);
  mg_free(call);
}

static struct mg_http_call *call_take(struct mg_http_client *c) {
  struct mg_list *n = mg_list_last(&c->idle); /* the one that rests the shortest is still in the caches */
  struct mg_http_call *call;
  if (c->n_live >= HTTP_CALLS_MAX) return NULL;
  if (n) {
    call = MG_CONTAINER(n, struct mg_http_call, node);
    mg_list_del(n);
    c->n_idle--;
  } else {
    if (!(call = mg_calloc(1, sizeof *call))) return NULL;
    call->client = c;
    mg_buf_init(&call->text, HTTP_HEADERS_OUT);
    mg_buf_init(&call->head, HTTP_HEADERS_IN);
    if (easy_init(call) != MCPGW_OK) {
      mg_http_call_destroy(call);
      return NULL;
    }
  }
  mg_list_add(&c->live, &call->node);
  c->n_live++;
  return call;
}

/* Out of libcurl and back to the pool. The Authorization it may have carried does not stay behind. */
static void call_recycle(struct mg_http_call *call) {
  struct mg_http_client *c = call->client;
  mg_list_del(&call->todo);
  mg_heap_del(&c->deadlines, &call->deadline);
  call->dead = 1;
  if (call->multi) curl_multi_remove_handle(call->multi->handle, call->easy);
  call->multi = NULL;
  curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, NULL);
  if (call->text.len) explicit_bzero(call->text.ptr, call->text.len);
  mg_blob_unref(call->body);
  call->body = NULL;
  if (c->n_idle >= HTTP_IDLE_MAX) {
    mg_http_call_destroy(call);
    return;
  }
  mg_list_del(&call->node);
  c->n_live--;
  mg_list_add(&c->idle, &call->node);
  c->n_idle++;
  call->dead = 2; /* resting */
}

/* A name without blanks, a colon, and a value without control bytes. *name: its length; 0: not a header line. */
static int line_ok(const char *line, size_t *name) {
  const char *colon = strchr(line, ':');
  *name = colon ? (size_t)(colon - line) : 0;
  return *name && !memchr(line, ' ', *name) && !memchr(line, '\t', *name) && mg_slice_is_line(mg_slice_z(line));
}

/* libcurl reads "Name:" as an order to leave a header out and "Name;" as one without a value. */
static void line_add(struct mg_http_call *call, const char *line, size_t name, size_t at) {
  const char *value = line + name + 1;
  if (value[strspn(value, " \t")]) {
    (void)mg_buf_addz(&call->text, line);
  } else {
    (void)mg_buf_add(&call->text, line, name);
    (void)mg_buf_addc(&call->text, ';');
  }
  (void)mg_buf_addc(&call->text, '\0');
  call->lines[call->n_lines++].data = (char *)(uintptr_t)at; /* a place; see lines_set */
}

/* What libcurl would add of its own accord and we do not want: the last only to bodies over 1 MiB. */
static const struct mg_slice unwanted[] = {{"Accept:", 7}, {"Content-Type:", 13}, {"Expect:", 7}};
enum { UNWANTED = sizeof unwanted / sizeof *unwanted };

static int lines_reserve(struct mg_http_call *call, const char *const *headers) {
  size_t n = 0;
  struct curl_slist *more;
  while (headers && headers[n])
    if (++n > HTTP_HEADERS_OUT_N) return MCPGW_E_LIMIT;
  if (n + UNWANTED <= call->lines_cap) return MCPGW_OK;
  if (!(more = mg_realloc(call->lines, (n + UNWANTED) * sizeof *more))) return MCPGW_E_NOMEM;
  call->lines = more;
  call->lines_cap = n + UNWANTED;
  return MCPGW_OK;
}

/* One block of text and one array of nodes stand in for curl_slist_append's two allocations a line. */
static int lines_set(struct mg_http_call *call, const char *const *headers) {
  unsigned given = call->whole ? 1u << (UNWANTED - 1) : 0; /* bits of unwanted */
  int rc = lines_reserve(call, headers);
  if (rc != MCPGW_OK) return rc;
  mg_buf_reset(&call->text);
  call->n_lines = 0;
  for (size_t i = 0, name; headers && headers[i]; i++) {
    if (!line_ok(headers[i], &name)) return MCPGW_E_INVALID;
    for (unsigned u = 0; u < UNWANTED; u++)
      if (name + 1 == unwanted[u].len && mg_same_folded(headers[i], unwanted[u].ptr, name)) given |= 1u << u;
    line_add(call, headers[i], name, call->text.len);
  }
  for (unsigned u = 0; u < UNWANTED; u++) {
    if (given >> u & 1) continue;
    call->lines[call->n_lines++].data = (char *)(uintptr_t)call->text.len;
    (void)mg_buf_add(&call->text, unwanted[u].ptr, unwanted[u].len + 1);
  }
  if ((rc = mg_buf_rc(&call->text)) != MCPGW_OK) return rc;
  for (size_t i = 0; i < call->n_lines; i++) {
    call->lines[i].data = call->text.ptr + (uintptr_t)call->lines[i].data;
    call->lines[i].next = i + 1 < call->n_lines ? &call->lines[i + 1] : NULL;
  }
  struct curl_slist *list = call->n_lines ? call->lines : NULL;
  return curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, list) == CURLE_OK ? MCPGW_OK : MCPGW_E_NOMEM;
}

static int method_set(struct mg_http_call *call, const char *name) {
  int method = !strcmp(name, "POST")     ? METHOD_POST
               : !strcmp(name, "GET")    ? METHOD_GET
               : !strcmp(name, "DELETE") ? METHOD_DELETE
                                         : METHOD_NONE;
  size_t n = call->body ? mg_blob_len(call->body) : 0;
  CURLcode rc = CURLE_OK;
  if (method == METHOD_NONE || (method != METHOD_POST && call->body)) return MCPGW_E_INVALID;
  call->whole = n && n <= HTTP_INLINE_BODY;
  if (method == METHOD_POST) {
    rc |= curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->whole ? mg_blob_data(call->body) : NULL);
    rc |= curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
  }
  if (method == call->method) return rc == CURLE_OK ? MCPGW_OK : MCPGW_E_NOMEM;
  call->method = METHOD_NONE;
  rc |= curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method == METHOD_DELETE ? "DELETE" : NULL);
  rc |= curl_easy_setopt(call->easy, method == METHOD_POST ? CURLOPT_POST : CURLOPT_HTTPGET, 1L);
  if (rc != CURLE_OK) return MCPGW_E_NOMEM;
  call->method = method;
  return MCPGW_OK;
}

/* Taken apart once, where CURLOPT_URL is taken apart and put together again for each request: a twelfth of
 * libcurl's instructions. */
static int url_set(struct mg_http_call *call, const char *url) {
  char *copy;
  if (strncasecmp(url, "http://", 7) && strncasecmp(url, "https://", 8)) return MCPGW_E_INVALID;
  if (call->url && !strcmp(call->url, url)) return MCPGW_OK;
  if (!(copy = mg_strdup(url))) return MCPGW_E_NOMEM;
  mg_free(call->url);
  call->url = NULL;
  CURLUcode rc = call->parts || (call->parts = curl_url()) ? curl_url_set(call->parts, CURLUPART_URL, url, 0)
                                                            : CURLUE_OUT_OF_MEMORY;
  if (rc != CURLUE_OK || curl_easy_setopt(call->easy, CURLOPT_CURLU, call->parts) != CURLE_OK) {
    mg_free(copy);
    return rc == CURLUE_OUT_OF_MEMORY ? MCPGW_E_NOMEM : MCPGW_E_INVALID;
  }
  call->url = copy;
  return MCPGW_OK;
}

static int tls_set(struct mg_http_call *call, int insecure) {
  CURLcode rc = CURLE_OK;
  if (insecure == call->insecure) return MCPGW_OK;
  rc |= curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYPEER, insecure ? 0L : 1L);
  rc |= curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYHOST, insecure ? 0L : 2L);
  call->insecure = insecure;
  return rc == CURLE_OK ? MCPGW_OK : MCPGW_E_UNSUPPORTED;
}

/* ---- the end ------------------------------------------------------------------------------------ */
/* A body of which nothing was taken cannot have been understood, whatever became of the header lines. */
static int delivered(const struct mg_http_call *call) {
  if (!call->connected) return MG_DELIVERED_NO;
  if (call->body && mg_blob_len(call->body) && !call->sent) return MG_DELIVERED_NO;
  return MG_DELIVERED_UNKNOWN;
}

static int code_of(const struct mg_http_call *call, CURLcode rc) {
  switch (rc) {
  case CURLE_OPERATION_TIMEDOUT:
    return MCPGW_E_TIMEOUT;
  case CURLE_OUT_OF_MEMORY:
    return MCPGW_E_NOMEM;
  case CURLE_URL_MALFORMAT:
    return MCPGW_E_INVALID;
  case CURLE_UNSUPPORTED_PROTOCOL: /* also: a reply that is no HTTP */
  case CURLE_WEIRD_SERVER_REPLY:
  case CURLE_HTTP2:
  case CURLE_BAD_CONTENT_ENCODING:
    return call->connected ? MCPGW_E_PARSE : MCPGW_E_INVALID;
  case CURLE_SEND_FAIL_REWIND:
  case CURLE_GOT_NOTHING:
  case CURLE_SEND_ERROR:
  case CURLE_RECV_ERROR:
  case CURLE_PARTIAL_FILE:
    return call->connected ? MCPGW_E_CLOSED : MCPGW_E_IO;
  default:
    return MCPGW_E_IO;
  }
}

static void text_clean(char *text) {
  if (text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a' && text[1] <= 'z') text[0] = (char)(text[0] + 32);
  for (char *p = text; *p; p++)
    if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
}

static void fault_fill(const struct mg_http_call *call, CURLcode rc, struct mg_http_fault *f) {
  const char *text = call->curl_text[0] ? call->curl_text : curl_easy_strerror(rc);
  f->delivered = delivered(call);
  f->rc = call->abort_rc != MCPGW_OK ? call->abort_rc : code_of(call, rc);
  if (call->abort_rc != MCPGW_OK) text = mg_err_text(&call->abort_text);
  else if (rc == CURLE_SEND_FAIL_REWIND) text = "connection closed before a reply came; not sent again";
  (void)snprintf(f->text, sizeof f->text, "%s", text);
  text_clean(f->text);
}

static void call_finish(struct mg_http_call *call, const struct mg_http_fault *f) {
  void (*done)(void *, const struct mg_http_fault *) = call->dead ? NULL : call->ev.done;
  call->dead = 1; /* a cancel from inside done finds nothing left to do */
  if (call->multi) curl_multi_remove_handle(call->multi->handle, call->easy);
  call->multi = NULL;
  if (done) done(call->arg, f);
  call_recycle(call);
}

void mg_http_call_end(struct mg_http_call *call, CURLcode rc) {
  struct mg_http_fault f;
  if (rc == CURLE_OK && call->abort_rc == MCPGW_OK && call->head_done) {
    call_finish(call, NULL);
    return;
  }
  fault_fill(call, rc, &f);
  call_finish(call, &f);
}

void mg_http_call_late(struct mg_http_call *call) {
  struct mg_http_fault f = {.rc = MCPGW_E_TIMEOUT, .delivered = delivered(call)};
  if (call->connected) (void)snprintf(f.text, sizeof f.text, "no complete reply in time");
  else
    (void)snprintf(f.text, sizeof f.text, "no connection within %llu ms",
                   (unsigned long long)call->connect_ms);
  call_finish(call, &f);
}

/* ---- doors -------------------------------------------------------------------------------------- */
static int call_add(struct mg_http_call *call) {
  struct http_multi *m = &call->client->multi[call->want_stream ? 1 : 0];
  call->starting = 0;
  if (curl_multi_add_handle(m->handle, call->easy) != CURLM_OK) return MCPGW_E_NOMEM;
  call->multi = m;
  return MCPGW_OK;
}

void mg_http_call_work(struct mg_http_call *call) {
  struct mg_http_fault f = {.rc = MCPGW_E_NOMEM, .delivered = MG_DELIVERED_NO, .text = "out of memory"};
  if (call->dead) {
    call_recycle(call);
    return;
  }
  if (call->starting && call_add(call) != MCPGW_OK) {
    call_finish(call, &f);
    return;
  }
  if (call->resuming && call->multi) {
    call->resuming = 0;
    call->client->depth++; /* it calls back with what it has held */
    curl_easy_pause(call->easy, CURLPAUSE_CONT);
    call->client->depth--;
  }
}

static void call_reset(struct mg_http_call *call, const struct mg_http_call_opts *o) {
  uint64_t now = mg_loop_now_ms(call->client->loop);
  mg_buf_reset(&call->head);
  mg_err_clear(&call->abort_text);
  memset(call->span, 0, sizeof call->span);
  call->curl_text[0] = '\0';
  call->sent = call->head_bytes = 0;
  call->status = call->n_session = call->head_done = call->coded = 0;
  call->connected = call->port = call->dead = call->resuming = 0;
  call->abort_rc = MCPGW_OK;
  call->starting = 1;
  call->want_stream = o->stream;
  call->connect_ms = o->connect_ms ? o->connect_ms : HTTP_CONNECT_MS;
  call->end_ms = o->total_ms ? now + o->total_ms : 0;
}

static int call_set(struct mg_http_call *call, const struct mg_http_call_opts *o) {
  uint64_t at = mg_loop_now_ms(call->client->loop) + call->connect_ms;
  int rc;
  call->body = o->body ? mg_blob_ref(o->body) : NULL;
  if ((rc = method_set(call, o->method)) != MCPGW_OK) return rc;
  if ((rc = url_set(call, o->url)) != MCPGW_OK) return rc;
  if ((rc = tls_set(call, !!o->insecure_tls)) != MCPGW_OK) return rc;
  if ((rc = lines_set(call, o->headers)) != MCPGW_OK) return rc;
  return mg_http_client_deadline(call, call->end_ms && call->end_ms < at ? call->end_ms : at);
}

int mg_http_call_start(struct mg_http_client *c, const struct mg_http_call_opts *o,
                       const struct mg_http_call_events *ev, void *arg, struct mg_http_call **out) {
  struct mg_http_call *call;
  int rc;
  if (!o->method || !o->url || !ev->done) return MCPGW_E_INVALID;
  if (!(call = call_take(c))) return c->n_live >= HTTP_CALLS_MAX ? MCPGW_E_LIMIT : MCPGW_E_NOMEM;
  call_reset(call, o);
  call->ev = *ev;
  call->arg = arg;
  if ((rc = call_set(call, o)) != MCPGW_OK) goto out;
  if (c->depth) mg_http_client_later(call);
  else if ((rc = call_add(call)) != MCPGW_OK) goto out;
  *out = call;
out:
  if (rc != MCPGW_OK) call_recycle(call);
  return rc;
}

/* Leaving a TLS connection writes to it; this may run outside of the loop, which else holds SIGPIPE back. */
static void recycle_quietly(struct mg_http_call *call) {
  struct timespec none = {0, 0};
  sigset_t pipe, old;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, &old);
  call_recycle(call);
  if (!sigismember(&old, SIGPIPE))
    while (sigtimedwait(&pipe, NULL, &none) > 0) {
    }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void mg_http_call_cancel(struct mg_http_call *call) {
  if (!call || call->dead) return;
  call->dead = 1;
  if (call->client->depth) mg_http_client_later(call);
  else recycle_quietly(call);
}

void mg_http_call_resume(struct mg_http_call *call) {
  if (call->dead || call->resuming) return;
  call->resuming = 1;
  mg_http_client_later(call);
}
