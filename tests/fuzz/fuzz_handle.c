/* fuzz_handle: bytes as a context's handle, as they are and laid over a good one. Whatever they are: no context may
 * be made by them (but for "new"), none found (but by the good one itself), and the good one must go on to work. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/brain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define META "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{},"

static void check(int ok) {
  if (!ok) abort();
}

static void on_message(struct mg_sink *s, struct mg_outgoing *o) {
  (void)s;
  mg_segs_unref(o->segs, o->n);
}

static void on_ended(struct mg_ctx *ctx, void *user) {
  (void)ctx, (void)user;
}

static const struct mg_ports ports = {.sink_message = on_message, .ctx_ended = on_ended};

/* The context that a request with this handle (a JSON string) belongs to; NULL: none. */
static struct mg_ctx *ask(struct mg_core *c, struct mg_slice handle, const char *principal) {
  mcpgw_credential who = {.struct_size = sizeof who, .principal = principal, .principal_len = strlen(principal)};
  struct mg_ctx *ctx = NULL;
  struct mg_fault why;
  struct mg_wire_fault bad;
  struct mg_msg m;
  struct mg_buf text;
  int hands_out;
  mg_buf_init(&text, (size_t)1 << 20);
  mg_buf_addz(&text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"," META "\"dev.mcpgw/context\":");
  mg_buf_adds(&text, handle);
  mg_buf_addz(&text, "}}}");
  struct mg_inbound in = {.msg = &m, .who = &who, .now_ms = 1000};
  if (mg_wire_parse(mg_buf_slice(&text), &m, &bad) == MCPGW_OK && m.s[MG_S_META_CONTEXT].type == MG_JSON_STRING &&
      mg_handle_context(c, &in, &ctx, &hands_out, &why) != MCPGW_OK)
    ctx = NULL;
  mg_buf_done(&text);
  return ctx;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  static struct mg_core *c;
  static struct mg_ctx *good;
  static char handle[200];
  static size_t n;
  static struct mg_log log = {.level = -1};
  static struct mg_config *config;
  if (!c) {
    check(mg_config_new(&config) == MCPGW_OK && mg_core_new(config, &ports, NULL, NULL, &log, &c) == MCPGW_OK);
    check((good = ask(c, MG_LIT("\"new\""), "ann")) != NULL);
    struct mg_slice member = mg_handle_member(good, 0);
    n = member.len - (sizeof "\"dev.mcpgw/context\":" - 1);
    memcpy(handle, member.ptr + member.len - n, n);
  }
  size_t contexts = mg_core_contexts(c);
  char raw[300], over[200];
  if (len <= 256) {
    raw[0] = '"';
    memcpy(raw + 1, data, len);
    raw[len + 1] = '"';
    if (len != 3 || memcmp(data, "new", 3)) check(!ask(c, mg_slice(raw, len + 2), "ann") && mg_core_contexts(c) == contexts);
  }
  memcpy(over, handle, n); /* each byte moves the one of the good handle at its place */
  int same = 1;
  for (size_t i = 0; i + 2 < n && i < len; i++) {
    over[i + 1] = (char)((unsigned char)over[i + 1] ^ (data[i] & 0x7f));
    if (data[i] & 0x7f) same = 0;
  }
  struct mg_ctx *found = ask(c, mg_slice(over, n), "ann");
  check(same ? found == good : !found || (n == 5 && found));
  check(ask(c, mg_slice(handle, n), "ann") == good);
  check(!ask(c, mg_slice(handle, n), "bob"));
  check(mg_core_contexts(c) == contexts);
  return 0;
}
