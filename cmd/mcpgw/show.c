/* show.c owns results and errors of servers as people see them, and what is said to a server that asks us
 * for something. Text of servers is never trusted to a terminal. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define UNAVAILABLE (-31002)
#define TOO_SLOW (-31003)

/* ---- content --------------------------------------------------------------------------------- */

/* Prints the string at key, if there is one, behind a blank. */
static void put_member(struct json object, const char *key) {
  size_t len;
  char *text = json_text(json_get(object, key), &len);
  if (text == NULL) return;
  putchar(' ');
  put_clean(stdout, text, len, 0);
  free(text);
}

static void show_text(struct json string) {
  size_t len;
  char *text = json_text(string, &len);
  if (text == NULL) return;
  put_clean(stdout, text, len, 1);
  if (len == 0 || text[len - 1] != '\n') putchar('\n');
  free(text);
}

static void show_resource(struct json resource) {
  struct json text = json_get(resource, "text");
  fputs("[resource", stdout);
  put_member(resource, "uri");
  put_member(resource, "mimeType");
  fputs("]\n", stdout);
  if (json_is(text, '"')) show_text(text);
}

/* "[image image/png 120 bytes]" */
static void show_other(const char *type, struct json block) {
  struct json data = json_get(block, "data");
  putchar('[');
  put_clean(stdout, type, strlen(type), 0);
  put_member(block, "mimeType");
  put_member(block, "uri");
  put_member(block, "name");
  if (json_is(data, '"')) printf(" %zu bytes", (data.len - 2) / 4 * 3);
  fputs("]\n", stdout);
}

static void show_block(struct json block) {
  char *type = json_text(json_get(block, "type"), NULL);
  if (type == NULL) return;
  if (strcmp(type, "text") == 0) show_text(json_get(block, "text"));
  else if (strcmp(type, "resource") == 0) show_resource(json_get(block, "resource"));
  else show_other(type, block);
  free(type);
}

void show_content(struct json result) {
  struct json content = json_get(result, "content"), structured = json_get(result, "structuredContent"),
              block;
  size_t pos = 0, n = 0;
  while (json_next(content, &pos, NULL, &block)) {
    show_block(block);
    n++;
  }
  if (n || structured.ptr == NULL) return;
  json_write(stdout, structured);
  putchar('\n');
}

/* ---- errors ---------------------------------------------------------------------------------- */

char *rpc_error_text(struct json error) {
  char *message = json_text(json_get(error, "message"), NULL), *out = NULL;
  size_t len = 0;
  FILE *f = open_memstream(&out, &len);
  if (f) {
    fprintf(f, "%s (%lld)", message && *message ? message : "an error without a message",
            json_int(json_get(error, "code"), 0));
    if (fclose(f) != 0) {
      free(out);
      out = NULL;
    }
  }
  free(message);
  return out;
}

static int by_gateway(struct json error) {
  char *origin = json_text(json_get(json_get(error, "data"), "origin"), NULL);
  int ours = origin && strcmp(origin, "gateway") == 0;
  free(origin);
  return ours;
}

int show_rpc_error(const char *what, struct json error) {
  long long code = json_int(json_get(error, "code"), 0);
  char *text = rpc_error_text(error);
  int unreachable = by_gateway(error) && (code == UNAVAILABLE || code == TOO_SLOW);
  say("%s: %s", what, text ? text : "error");
  free(text);
  return unreachable ? EXIT_UPSTREAM : EXIT_RPC;
}

/* ---- what servers ask of us ------------------------------------------------------------------ */

void answer_server(mcpgw_client *client, const mcpgw_event *e) {
  struct json message, id;
  char *method, *reply = NULL;
  size_t len = 0;
  if (!json_read(mcpgw_event_data(e), mcpgw_event_len(e), &message, NULL)) return;
  id = json_get(message, "id");
  method = json_text(json_get(message, "method"), NULL);
  FILE *f = id.ptr && method ? open_memstream(&reply, &len) : NULL;
  if (f) {
    fputs("{\"jsonrpc\":\"2.0\",\"id\":", f);
    json_write(f, id);
    if (strcmp(method, "ping") == 0) fputs(",\"result\":{}}", f);
    else
      fputs(
          ",\"error\":{\"code\":-32601,\"message\":\"mcpgw on a command line cannot do this for a server\"}}",
          f);
    if (fclose(f) == 0) (void)mcpgw_client_send(client, reply, len);
  }
  free(reply);
  free(method);
}
