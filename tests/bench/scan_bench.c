/* scan_bench: what the envelope scanner costs beside jansson's decoder on the same bytes in the same
 * run. It prints one line a message: nanoseconds of CPU of each (the best of many short rounds, in turn)
 * and the ratio; absolute figures mean nothing beyond the machine. With --check it exits 1 when a ratio that DESIGN
 * section 4 builds on (structured messages of 1 KiB and 100 KiB) is below 15. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "mcpgw/types.h"
#include "json/scan.h"

#define ROUNDS 60
#define ROUND_NS 2000000.0
#define WANTED_RATIO 15.0

#define FIELD(k, s, in) \
  { (k), sizeof(k) - 1, (s), (in) }
enum { S_JSONRPC, S_ID, S_METHOD, S_RESULT, S_ERROR, S_NAME, S_META, S_CURSOR, S_PROGRESS, S_N };
static const struct mg_field meta_fields[] = {FIELD("progressToken", S_PROGRESS, NULL)};
static const struct mg_shape meta_shape = {meta_fields, 1};
static const struct mg_field params_fields[] = {
    FIELD("name", S_NAME, NULL), FIELD("_meta", S_META, &meta_shape), FIELD("cursor", S_CURSOR, NULL)};
static const struct mg_shape params_shape = {params_fields, 3};
static const struct mg_field root_fields[] = {
    FIELD("jsonrpc", S_JSONRPC, NULL),  FIELD("id", S_ID, NULL),         FIELD("method", S_METHOD, NULL),
    FIELD("params", -1, &params_shape), FIELD("result", S_RESULT, NULL), FIELD("error", S_ERROR, NULL)};
static const struct mg_shape root_shape = {root_fields, 6};

static const char call_head[] =
    "{\"jsonrpc\":\"2.0\",\"id\":17,\"method\":\"tools/call\",\"params\":{\"name\":\"query\","
    "\"_meta\":{\"progressToken\":\"p-17\"},\"arguments\":{\"rows\":[";
static const char call_tail[] = "]}}}";
static const char row[] =
    "{\"id\":4711,\"name\":\"Grace Hopper\",\"email\":\"grace@example.com\",\"active\":true,"
    "\"score\":0.97,\"tags\":[\"navy\",\"cobol\"],\"manager\":null}";
static const char text_head[] =
    "{\"jsonrpc\":\"2.0\",\"id\":17,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"";
static const char text_tail[] = "\"}]}}";
static const char prose[] =
    "The quick brown fox jumps over the lazy dog, and then it sits down to think about it. ";
static const char code[] = "  if (x < 0) {\\n    printf(\\\"%d\\\\n\\\", x);\\n    return -1;\\n  }\\n";
static const char chinese[] = "\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x8c\xe4\xb8\x96\xe7\x95\x8c\xe3\x80\x82";

/* head, then piece (with sep between) until size is reached, then tail */
static void fill(struct mg_buf *b, const char *head, const char *piece, const char *sep, const char *tail,
                 size_t size) {
  mg_buf_reset(b);
  mg_buf_addz(b, head);
  mg_buf_addz(b, piece);
  while (b->rc == MCPGW_OK && b->len + strlen(sep) + strlen(piece) + strlen(tail) <= size) {
    mg_buf_addz(b, sep);
    mg_buf_addz(b, piece);
  }
  mg_buf_addz(b, tail);
}

static void indent(struct mg_buf *b) {
  json_t *v = json_loadb(b->ptr, b->len, 0, NULL);
  char *text = v ? json_dumps(v, JSON_INDENT(2)) : NULL;
  mg_buf_reset(b);
  if (text) mg_buf_addz(b, text);
  free(text);
  json_decref(v);
}

static int by_scan(struct mg_slice doc) {
  struct mg_span spans[S_N], root;
  return mg_json_scan(doc, &root_shape, spans, S_N, &root, NULL) == MCPGW_OK && spans[S_ID].type;
}

static int by_jansson(struct mg_slice doc) {
  json_t *v = json_loadb(doc.ptr, doc.len, 0, NULL);
  int ok = v != NULL;
  json_decref(v);
  return ok;
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* One round: lowers *best to its nanoseconds a call. 0: the call failed. */
static int round_of(int (*call)(struct mg_slice), struct mg_slice doc, double *best) {
  size_t n = *best > 0 ? (size_t)(ROUND_NS / *best) + 1 : 1;
  double t = now_ns();
  for (size_t i = 0; i < n; i++)
    if (!call(doc)) return 0;
  t = (now_ns() - t) / (double)n;
  if (*best == 0 || t < *best) *best = t;
  return 1;
}

/* The ratio; 0 when one of the two refused the message. */
static double compare(const char *name, const struct mg_buf *b) {
  struct mg_slice doc = mg_buf_slice(b);
  double scan = 0, jansson = 0;
  for (int r = 0; r < ROUNDS; r++) {
    if (b->rc == MCPGW_OK && round_of(by_scan, doc, &scan) && round_of(by_jansson, doc, &jansson)) continue;
    printf("%-28s failed\n", name);
    return 0;
  }
  printf("%-28s %8zu bytes  scan %10.0f ns (%5.2f GB/s)  jansson %11.0f ns  ratio %6.1f\n", name, doc.len,
         scan, (double)doc.len / scan, jansson, jansson / scan);
  return jansson / scan;
}

int main(int argc, char **argv) {
  int check = argc > 1 && strcmp(argv[1], "--check") == 0;
  struct mg_buf b;
  mg_buf_init(&b, (size_t)8 * 1024 * 1024);
  fill(&b, call_head, row, ",", call_tail, 1024);
  double small = compare("1 KiB structured", &b);
  fill(&b, call_head, row, ",", call_tail, (size_t)100 * 1024);
  double large = compare("100 KiB structured", &b);
  fill(&b, call_head, row, ",", call_tail, (size_t)100 * 1024);
  indent(&b);
  compare("100 KiB structured, indented", &b);
  fill(&b, text_head, prose, "", text_tail, 1024);
  compare("1 KiB text", &b);
  fill(&b, call_head, row, ",", call_tail, (size_t)1024 * 1024);
  compare("1 MiB structured", &b);
  fill(&b, text_head, prose, "", text_tail, (size_t)1024 * 1024);
  compare("1 MiB text", &b);
  fill(&b, text_head, code, "", text_tail, (size_t)1024 * 1024);
  compare("1 MiB source text (escapes)", &b);
  fill(&b, text_head, chinese, "", text_tail, (size_t)1024 * 1024);
  compare("1 MiB Chinese text", &b);
  mg_buf_done(&b);
  return check && (small < WANTED_RATIO || large < WANTED_RATIO);
}
