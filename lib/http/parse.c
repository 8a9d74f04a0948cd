/* The parser glue: collects a head, lets the guard and then llhttp judge it, and takes a body in. Owns
 * the half-read head, the body and nothing else. It must never read past the request it is in, never
 * trust a declared length for more than one step of memory, and never set a lenient flag. */
#include "http/parse.h"
#include "http/head.h"
#include <string.h>

enum {
  IN_HEAD,
  IN_BODY,
  IN_SIZE,
  IN_CHUNK,
  IN_TRAILER,
  IN_END
}; /* SIZE, CHUNK: a chunk's size line, its data */

static int refuse(struct mg_http_parser *p, int status, const char *reason) {
  p->status = status;
  p->reason = reason;
  return MG_PARSE_REFUSED;
}

/* ---- what llhttp tells us -------------------------------------------------------------------------- */

static int on_headers_complete(llhttp_t *ll) {
  struct mg_http_parser *p = ll->data;
  p->head->req.keep_alive = ll->method != HTTP_CONNECT && llhttp_should_keep_alive(ll);
  return 0;
}

static int on_message_complete(llhttp_t *ll) {
  struct mg_http_parser *p = ll->data;
  p->done = 1;
  return 0;
}

static int fail_body(struct mg_http_parser *p, int status, const char *reason) {
  refuse(p, status, reason);
  p->failed = 1;
  return -1;
}

static int need_body(struct mg_http_parser *p, size_t hint) {
  if (p->body) return MCPGW_OK;
  size_t step = hint < MG_HTTP_BODY_STEP ? hint : MG_HTTP_BODY_STEP;
  p->body = mg_blob_new(p->budget, step, p->limits->body_bytes);
  return p->body ? MCPGW_OK : MCPGW_E_LIMIT;
}

static int on_body(llhttp_t *ll, const char *at, size_t len) {
  struct mg_http_parser *p = ll->data;
  if (p->in_place) {
    mg_blob_commit(p->body, len);
    return 0;
  }
  size_t have = p->body ? mg_blob_len(p->body) : 0;
  if (have > p->limits->body_bytes || len > p->limits->body_bytes - have) return fail_body(p, 413, "the body is too large");
  if (need_body(p, p->head->chunked ? len : p->head->length) != MCPGW_OK ||
      mg_blob_append(p->body, at, len) != MCPGW_OK)
    return fail_body(p, 503, "out of message memory");
  return 0;
}

/* Stops behind every size line, so that its length is known exactly however the bytes came; and so that
 * the guard sees the trailers first. */
static int on_chunk_header(llhttp_t *ll) {
  struct mg_http_parser *p = ll->data;
  size_t have = p->body ? mg_blob_len(p->body) : 0;
  if (have > p->limits->body_bytes || ll->content_length > p->limits->body_bytes - have)
    return fail_body(p, 413, "the body is too large");
  p->stage = ll->content_length ? IN_CHUNK : IN_TRAILER;
  return HPE_PAUSED;
}

static int on_chunk_complete(llhttp_t *ll) {
  struct mg_http_parser *p = ll->data;
  if (p->stage != IN_CHUNK) return 0;
  p->stage = IN_SIZE;
  return HPE_PAUSED;
}

static int on_extension(llhttp_t *ll, const char *at, size_t len) {
  struct mg_http_parser *p = ll->data;
  (void)at;
  p->extension += len;
  if (p->extension <= MG_HTTP_MAX_EXTENSIONS) return 0;
  return fail_body(p, 400, "too many chunk extensions");
}

static const llhttp_settings_t settings = {
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
    .on_chunk_header = on_chunk_header,
    .on_chunk_complete = on_chunk_complete,
    .on_chunk_extension_name = on_extension,
    .on_chunk_extension_value = on_extension,
};

/* Runs llhttp; *used tells how far it came when it stopped at a chunk's edge. 0 or MG_PARSE_REFUSED. */
static int execute(struct mg_http_parser *p, const char *data, size_t len, size_t *used) {
  int err = llhttp_execute(&p->ll, data, len);
  *used = len;
  if (err == HPE_OK) return 0;
  if (err == HPE_PAUSED_UPGRADE && p->done) return 0; /* Upgrade is not offered here, so it is ignored */
  if (err == HPE_PAUSED) {
    *used = (size_t)(llhttp_get_error_pos(&p->ll) - data);
    llhttp_resume(&p->ll);
    return 0;
  }
  if (p->failed) return MG_PARSE_REFUSED;
  if (p->stage == IN_HEAD && (err == HPE_INVALID_METHOD || err == HPE_INVALID_CONSTANT))
    return refuse(p, 501, "unknown method");
  return refuse(p, 400, p->stage == IN_HEAD ? "malformed request head" : "malformed chunked body");
}

/* ---- sections: a head, or the trailers ---------------------------------------------------------------- */

/* Judges one line (without LF). 1: it is the empty line that ends the section; -1 refused; 0 go on. */
static int take_line(struct mg_http_parser *p, struct mg_slice line) {
  int status, first = p->stage == IN_HEAD && p->line == (size_t)p->blank;
  if (line.len == 1 && line.ptr[0] == '\r') {
    if (!first) return 1;
    if (p->blank < 4) return p->blank += 2, 0; /* RFC 9112 §2.2: an empty line or two before the request */
    return refuse(p, 400, "empty lines before the request"), -1;
  }
  if (first) {
    status = mg_http_check_request_line(line, &p->reason);
  } else {
    if (++p->lines > MG_HTTP_MAX_HEADERS) return refuse(p, 431, "too many header lines"), -1;
    status = p->stage == IN_HEAD ? mg_http_check_field_line(line, &p->reason)
                                 : mg_http_check_trailer_line(line, &p->reason);
  }
  p->status = status;
  return status ? -1 : 0;
}

/* Looks for the section's end in base. 1: found, p->line is just behind it; 0: not yet; -1: refused. */
static int scan(struct mg_http_parser *p, struct mg_slice base, size_t max) {
  const char *lf;
  if (p->stage == IN_HEAD && base.len && !mg_http_check_first_byte(base.ptr[0]))
    return refuse(p, 400, "this is not an HTTP request"), -1;
  while (p->seen < base.len && (lf = memchr(base.ptr + p->seen, '\n', base.len - p->seen))) {
    size_t end = (size_t)(lf - base.ptr);
    if (end >= max) break;
    int r = take_line(p, mg_slice_sub(base, p->line, end - p->line));
    p->line = p->seen = end + 1;
    if (r) return r;
  }
  p->seen = base.len;
  if (base.len >= max) return refuse(p, 431, "the headers are too large"), -1;
  return 0;
}

static int keep_part(struct mg_http_parser *p, const char *data, size_t len, size_t max) {
  if (len == 0) return MCPGW_OK;
  if (!p->part) p->part = mg_blob_new(p->budget, len, max + 1);
  if (p->part && mg_blob_append(p->part, data, len) == MCPGW_OK) return MCPGW_OK;
  refuse(p, 503, "out of message memory");
  return MCPGW_E_LIMIT;
}

/* Collects a section; whole ones are judged where they lie, split ones in `part`. 1: *block is it. */
static int section(struct mg_http_parser *p, const char *data, size_t len, size_t max, size_t *used,
                   struct mg_slice *block) {
  size_t had = p->part ? mg_blob_len(p->part) : 0;
  if (had && len > max + 1 - had) len = max + 1 - had;
  if (had && keep_part(p, data, len, max) != MCPGW_OK) return -1;
  struct mg_slice base = had ? mg_blob_slice(p->part) : mg_slice(data, len);
  int r = scan(p, base, max);
  *used = r > 0 ? p->line - had : len;
  *block = mg_slice_sub(base, 0, p->line);
  if (r == 0 && !had && keep_part(p, data, len, max) != MCPGW_OK) return -1;
  return r;
}

static void end_section(struct mg_http_parser *p) {
  mg_blob_unref(p->part);
  p->part = NULL;
  p->line = p->seen = p->lines = 0;
}

static int after_head(struct mg_http_parser *p) {
  const struct mg_http_head *h = p->head;
  if (h->length > p->limits->body_bytes) return refuse(p, 413, "the body is too large");
  p->body_left = h->length;
  int expects =
      h->chunked || h->length > 0; /* two readings of one head (CONNECT's body, say): believe neither */
  if (expects == p->done || (!h->chunked && !p->done && h->length != p->ll.content_length))
    return refuse(p, 400, "it is unclear where the request ends");
  p->stage = p->done ? IN_END : h->chunked ? IN_SIZE : IN_BODY;
  return MG_PARSE_HEAD;
}

static int feed_head(struct mg_http_parser *p, const char *data, size_t len, size_t *used) {
  struct mg_slice block;
  size_t ran;
  int r = section(p, data, len, p->limits->header_bytes, used, &block);
  if (r <= 0) return r ? MG_PARSE_REFUSED : MG_PARSE_MORE;
  block = mg_slice_sub(block, (size_t)p->blank, block.len);
  p->status = mg_http_head_build(block, p->lines, p->budget, &p->head, &p->reason);
  if (p->status) return MG_PARSE_REFUSED;
  r = execute(p, block.ptr, block.len, &ran);
  end_section(p);
  return r ? r : after_head(p);
}

static int feed_trailer(struct mg_http_parser *p, const char *data, size_t len, size_t *used) {
  struct mg_slice block;
  size_t ran;
  int r = section(p, data, len, MG_HTTP_MAX_TRAILERS, used, &block);
  if (r <= 0) return r ? MG_PARSE_REFUSED : MG_PARSE_MORE;
  r = execute(p, block.ptr, block.len, &ran);
  end_section(p);
  if (r) return r;
  p->stage = IN_END;
  return p->done ? MG_PARSE_DONE : refuse(p, 400, "malformed trailers");
}

static int feed_body(struct mg_http_parser *p, const char *data, size_t len, size_t *used) {
  size_t n = len < p->body_left ? len : (size_t)p->body_left;
  if (execute(p, data, n, used)) return MG_PARSE_REFUSED;
  p->body_left -= n;
  if (p->body_left) return MG_PARSE_MORE;
  p->stage = IN_END;
  return p->done ? MG_PARSE_DONE : refuse(p, 400, "malformed body");
}

/* Remembers the last two bytes that were used. */
static void note_last(struct mg_http_parser *p, const char *data, size_t len) {
  if (len == 0) return;
  p->last[0] = len > 1 ? data[len - 2] : p->last[1];
  p->last[1] = data[len - 1];
}

/* Endless zeros before a size are as unwelcome as endless extensions: the whole line is bounded. */
static int feed_chunks(struct mg_http_parser *p, const char *data, size_t len, size_t *used) {
  while (*used < len && (p->stage == IN_SIZE || p->stage == IN_CHUNK)) {
    size_t ran;
    int before = p->stage, in_size = before == IN_SIZE;
    if (execute(p, data + *used, len - *used, &ran)) return MG_PARSE_REFUSED;
    note_last(p, data + *used, ran);
    *used += ran;
    if (p->stage != before && memcmp(p->last, "\r\n", 2) != 0) /* an llhttp built loose skips any two bytes */
      return refuse(p, 400, "a chunk must end in CR LF");
    p->size_line = in_size ? p->size_line + ran : 0;
    if (p->size_line > MG_HTTP_MAX_SIZE_LINE) return refuse(p, 400, "the size line of a chunk is too long");
  }
  if (p->stage != IN_TRAILER) return MG_PARSE_MORE;
  size_t more;
  int r = feed_trailer(p, data + *used, len - *used, &more);
  *used += more;
  return r;
}

/* ---- the door ------------------------------------------------------------------------------------------ */

void mg_http_parser_init(struct mg_http_parser *p, const struct mg_http_limits *limits,
                         struct mg_budget *budget) {
  memset(p, 0, sizeof *p);
  llhttp_init(&p->ll, HTTP_REQUEST, &settings);
  p->ll.data = p;
  p->limits = limits;
  p->budget = budget;
}

void mg_http_parser_done(struct mg_http_parser *p) {
  mg_http_head_free(p->head, p->budget);
  mg_blob_unref(p->part);
  mg_blob_unref(p->body);
  p->head = NULL;
  p->part = p->body = NULL;
}

int mg_http_parser_feed(struct mg_http_parser *p, const char *data, size_t len, size_t *used) {
  *used = 0;
  if (p->status) return MG_PARSE_REFUSED;
  switch (p->stage) {
  case IN_HEAD: return feed_head(p, data, len, used);
  case IN_BODY: return feed_body(p, data, len, used);
  case IN_TRAILER: return feed_trailer(p, data, len, used);
  case IN_END: return MG_PARSE_DONE;
  default: return feed_chunks(p, data, len, used);
  }
}

size_t mg_http_parser_room(struct mg_http_parser *p, char **at) {
  if (p->stage != IN_BODY || p->status || p->body_left < MG_HTTP_BODY_STEP / 4) return 0;
  size_t n = p->body_left < MG_HTTP_BODY_STEP ? (size_t)p->body_left : MG_HTTP_BODY_STEP;
  if (need_body(p, n) != MCPGW_OK || mg_blob_reserve(p->body, n) != MCPGW_OK) return 0;
  *at = mg_blob_tail(p->body);
  return n;
}

int mg_http_parser_filled(struct mg_http_parser *p, size_t len) {
  size_t used;
  p->in_place = 1;
  int r = feed_body(p, mg_blob_tail(p->body), len, &used);
  p->in_place = 0;
  return r;
}

int mg_http_parser_started(const struct mg_http_parser *p) {
  return p->stage != IN_HEAD || p->part != NULL;
}
