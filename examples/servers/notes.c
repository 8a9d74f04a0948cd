/* notes: a small MCP server over stdio, to put behind the gateway and to learn the protocol from.
 *
 * It keeps a list of notes for as long as the process lives, and answers clients of both eras on the same
 * pipe: legacy ones (2024-11-05 to 2025-11-25) after `initialize`, modern ones (2026-07-28) request by
 * request, by what their `_meta` says. One thread, one poll loop; the end of stdin ends the process.
 * Whatever it keeps has a ceiling, and nothing but MCP messages may ever reach stdout.
 *
 *   cc -o notes notes.c -ljansson
 */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES (1 << 20) /* the longest message accepted */
#define NOTES_MAX 1000
#define NOTE_MAX_BYTES 16384
#define SLOW_MAX 16          /* `slow` calls at one time */
#define SLOW_MAX_MS 600000   /* the longest of them */
#define STEP_MS 100          /* between two progress notifications */
#define LISTS_TTL_MS 3600000 /* our lists never change; how long a modern client may keep them */

#define MODERN "2026-07-28"
#define META "io.modelcontextprotocol/"
#define NOTES_URI "notes://all"

enum { PARSE_ERROR = -32700, INVALID_REQUEST = -32600, NO_METHOD = -32601, INVALID_PARAMS = -32602 };
enum { NO_RESOURCE_LEGACY = -32002, UNSUPPORTED_VERSION = -32022 };

static const char *const LEGACY[] = {"2025-11-25", "2025-06-18", "2025-03-26",
                                     "2024-11-05"}; /* newest first */
#define LEGACY_COUNT (sizeof LEGACY / sizeof *LEGACY)

/* One message from the client. All pointers are BORROWED from the parsed line. */
struct request {
  const char *method;
  json_t *id;     /* NULL: a notification */
  json_t *params; /* NULL: none */
  int modern;
};

/* A call of `slow` that has not been answered yet. */
struct slow {
  json_t *id;    /* OWNED; NULL: this place is free */
  json_t *token; /* OWNED; NULL: the client wants no progress */
  int modern;
  int64_t began, ends, next; /* when to answer, and when to report next (monotonic ms) */
  json_int_t ms;
};

static json_t *notes;   /* array of strings */
static int initialized; /* a legacy client has said who it is */
static struct slow slow[SLOW_MAX];

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- writing ------------------------------------------------------------------------------------ */

/* Takes message over. A client that does not read any more is no reason to go on. */
static void send_message(json_t *message) {
  int failed = message == NULL || json_dumpf(message, stdout, JSON_COMPACT) != 0;
  json_decref(message);
  if (failed || fputc('\n', stdout) == EOF || fflush(stdout) == EOF) exit(1);
}

static json_t *server_info(void) {
  return json_pack("{s:s, s:s}", "name", "notes", "version", "1.0.0");
}

/* Takes result over. A modern result says that it is whole and who made it. */
static void reply_to(json_t *id, int modern, json_t *result) {
  if (modern) {
    json_object_set_new(result, "resultType", json_string("complete"));
    json_object_set_new(result, "_meta", json_pack("{s:o}", META "serverInfo", server_info()));
  }
  send_message(json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id, "result", result));
}

static void reply(const struct request *rq, json_t *result) {
  reply_to(rq->id, rq->modern, result);
}

/* A result that a modern client may keep for ttl_ms. Takes result over. */
static void reply_cacheable(const struct request *rq, json_t *result, json_int_t ttl_ms, const char *scope) {
  if (rq->modern) {
    json_object_set_new(result, "ttlMs", json_integer(ttl_ms));
    json_object_set_new(result, "cacheScope", json_string(scope));
  }
  reply(rq, result);
}

/* id NULL: it could not be read. data NULL: none; taken over. */
static void reply_error(json_t *id, int code, const char *message, json_t *data) {
  send_message(json_pack("{s:s, s:O*, s:{s:i, s:s, s:o*}}", "jsonrpc", "2.0", "id", id, "error", "code", code,
                         "message", message, "data", data));
}

static void reply_text_to(json_t *id, int modern, const char *text, int is_error) {
  json_t *result = json_pack("{s:[{s:s, s:s}]}", "content", "type", "text", "text", text);
  if (is_error) json_object_set_new(result, "isError", json_true());
  reply_to(id, modern, result);
}

/* The result of a tool, and a failure of it that a model can read and mend. */
static void reply_text(const struct request *rq, const char *text) {
  reply_text_to(rq->id, rq->modern, text, 0);
}
static void reply_failure(const struct request *rq, const char *text) {
  reply_text_to(rq->id, rq->modern, text, 1);
}

/* ---- tools -------------------------------------------------------------------------------------- */

static void add_note(const struct request *rq, json_t *arguments) {
  json_t *text = json_object_get(arguments, "text");
  char said[32];
  if (!json_is_string(text) || json_string_length(text) > NOTE_MAX_BYTES) {
    reply_failure(rq, "add_note needs a string `text` of 16384 bytes or less");
    return;
  }
  if (json_array_size(notes) >= NOTES_MAX) {
    reply_failure(rq, "no room for another note, call clear_notes first");
    return;
  }
  json_array_append(notes, text);
  snprintf(said, sizeof said, "note %zu", json_array_size(notes));
  reply_text(rq, said);
}

/* All notes, one a line. The caller frees it. */
static char *notes_text(void) {
  size_t i, len = 1;
  json_t *note;
  json_array_foreach(notes, i, note) len += json_string_length(note) + 1;
  char *text = malloc(len), *end = text;
  if (text == NULL) exit(1);
  json_array_foreach(notes, i, note) {
    memcpy(end, json_string_value(note), json_string_length(note));
    end += json_string_length(note);
    *end++ = '\n';
  }
  *end = '\0';
  return text;
}

static void list_notes(const struct request *rq, json_t *arguments) {
  char *text = notes_text();
  (void)arguments;
  reply_text(rq, *text ? text : "no notes yet");
  free(text);
}

static void clear_notes(const struct request *rq, json_t *arguments) {
  (void)arguments;
  json_array_clear(notes);
  reply_text(rq, "all notes are gone");
}

/* The place of a running call, or with id NULL a free place. NULL: there is none. */
static struct slow *find_slow(const json_t *id) {
  for (size_t i = 0; i < SLOW_MAX; i++)
    if (id ? slow[i].id && json_equal(slow[i].id, id) : slow[i].id == NULL) return &slow[i];
  return NULL;
}

static void end_slow(struct slow *s) {
  json_decref(s->id);
  json_decref(s->token);
  s->id = s->token = NULL;
}

static void start_slow(const struct request *rq, json_t *arguments) {
  json_t *ms = json_object_get(arguments, "ms");
  struct slow *s = find_slow(NULL);
  if (!json_is_integer(ms) || json_integer_value(ms) < 0 || json_integer_value(ms) > SLOW_MAX_MS) {
    reply_failure(rq, "slow needs an integer `ms` from 0 to 600000");
    return;
  }
  if (s == NULL) {
    reply_failure(rq, "too many slow calls at one time, wait for one to end");
    return;
  }
  s->id = json_incref(rq->id);
  s->token = json_incref(json_object_get(json_object_get(rq->params, "_meta"), "progressToken"));
  s->modern = rq->modern;
  s->ms = json_integer_value(ms);
  s->began = now_ms();
  s->ends = s->began + s->ms;
  s->next = s->began + STEP_MS;
}

/* Answers the slow calls whose time has come and reports on the others. Returns how long poll may wait. */
static int run_slow(void) {
  int64_t now = now_ms(), wake = INT64_MAX;
  for (struct slow *s = slow; s < slow + SLOW_MAX; s++) {
    if (s->id && now >= s->ends) {
      reply_text_to(s->id, s->modern, "done at last", 0);
      end_slow(s);
    }
    if (s->id == NULL) continue;
    if (s->token && now >= s->next) {
      send_message(json_pack("{s:s, s:s, s:{s:O, s:I, s:I}}", "jsonrpc", "2.0", "method",
                             "notifications/progress", "params", "progressToken", s->token, "progress",
                             (json_int_t)(now - s->began), "total", s->ms));
      s->next = now + STEP_MS;
    }
    int64_t due = s->token && s->next < s->ends ? s->next : s->ends;
    if (due < wake) wake = due;
  }
  return wake == INT64_MAX ? -1 : (int)(wake - now);
}

static const struct tool {
  const char *name, *description;
  const char *argument, *type; /* its one argument, which it needs; NULL: none */
  int read_only;
  void (*call)(const struct request *rq, json_t *arguments);
} TOOLS[] = {
    {"add_note", "Keeps a note until this server ends", "text", "string", 0, add_note},
    {"list_notes", "All notes, one a line", NULL, NULL, 1, list_notes},
    {"clear_notes", "Forgets all notes", NULL, NULL, 0, clear_notes},
    {"slow", "Answers after `ms` milliseconds, reporting progress; can be cancelled", "ms", "integer", 1,
     start_slow},
};
#define TOOL_COUNT (sizeof TOOLS / sizeof *TOOLS)

static json_t *describe(const struct tool *t) {
  json_t *schema = json_pack("{s:s}", "type", "object");
  if (t->argument) {
    json_object_set_new(schema, "properties", json_pack("{s:{s:s}}", t->argument, "type", t->type));
    json_object_set_new(schema, "required", json_pack("[s]", t->argument));
  }
  return json_pack("{s:s, s:s, s:o, s:{s:b}}", "name", t->name, "description", t->description, "inputSchema",
                   schema, "annotations", "readOnlyHint", t->read_only);
}

/* ---- methods ------------------------------------------------------------------------------------ */

static json_t *capabilities(void) {
  return json_pack("{s:{}, s:{}}", "tools", "resources");
}

/* The revision asked for if we speak it, else our newest: the client decides whether it can go on. */
static void initialize(const struct request *rq) {
  const char *asked = json_string_value(json_object_get(rq->params, "protocolVersion"));
  const char *spoken = LEGACY[0];
  for (size_t i = 0; asked && i < LEGACY_COUNT; i++)
    if (strcmp(asked, LEGACY[i]) == 0) spoken = LEGACY[i];
  initialized = 1;
  reply(rq, json_pack("{s:s, s:o, s:o}", "protocolVersion", spoken, "capabilities", capabilities(),
                      "serverInfo", server_info()));
}

static void discover(const struct request *rq) {
  json_t *result = json_pack("{s:[s], s:o}", "supportedVersions", MODERN, "capabilities", capabilities());
  reply_cacheable(rq, result, LISTS_TTL_MS, "public");
}

static void ping(const struct request *rq) {
  reply(rq, json_object());
}

static void list_tools(const struct request *rq) {
  json_t *list = json_array();
  for (size_t i = 0; i < TOOL_COUNT; i++) json_array_append_new(list, describe(&TOOLS[i]));
  reply_cacheable(rq, json_pack("{s:o}", "tools", list), LISTS_TTL_MS, "public");
}

static void call_tool(const struct request *rq) {
  const char *name = json_string_value(json_object_get(rq->params, "name"));
  for (size_t i = 0; name && i < TOOL_COUNT; i++) {
    if (strcmp(TOOLS[i].name, name) != 0) continue;
    TOOLS[i].call(rq, json_object_get(rq->params, "arguments"));
    return;
  }
  reply_error(rq->id, INVALID_PARAMS, "unknown tool", NULL);
}

static void list_resources(const struct request *rq) {
  json_t *all = json_pack("{s:s, s:s, s:s}", "uri", NOTES_URI, "name", "all notes", "mimeType", "text/plain");
  reply_cacheable(rq, json_pack("{s:[o]}", "resources", all), LISTS_TTL_MS, "public");
}

static void read_resource(const struct request *rq) {
  const char *uri = json_string_value(json_object_get(rq->params, "uri"));
  if (uri == NULL || strcmp(uri, NOTES_URI) != 0) {
    int code = rq->modern || uri == NULL ? INVALID_PARAMS : NO_RESOURCE_LEGACY;
    reply_error(rq->id, code, "no such resource", uri ? json_pack("{s:s}", "uri", uri) : NULL);
    return;
  }
  char *text = notes_text();
  json_t *content = json_pack("{s:s, s:s, s:s}", "uri", uri, "mimeType", "text/plain", "text", text);
  free(text);
  reply_cacheable(rq, json_pack("{s:[o]}", "contents", content), 0, "private"); /* any call may change it */
}

enum { IN_LEGACY = 1, IN_MODERN = 2, BEFORE_INITIALIZE = 4 };
static const struct {
  const char *name;
  int where;
  void (*run)(const struct request *rq);
} METHODS[] = {
    {"initialize", IN_LEGACY | BEFORE_INITIALIZE, initialize},
    {"ping", IN_LEGACY | BEFORE_INITIALIZE, ping},
    {"server/discover", IN_MODERN, discover},
    {"tools/list", IN_LEGACY | IN_MODERN, list_tools},
    {"tools/call", IN_LEGACY | IN_MODERN, call_tool},
    {"resources/list", IN_LEGACY | IN_MODERN, list_resources},
    {"resources/read", IN_LEGACY | IN_MODERN, read_resource},
};
#define METHOD_COUNT (sizeof METHODS / sizeof *METHODS)

/* ---- messages ----------------------------------------------------------------------------------- */

/* Judges the era of one request by its own _meta. Returns 0 when it has been answered with an error. */
static int judge_era(struct request *rq) {
  json_t *meta = json_object_get(rq->params, "_meta");
  json_t *version = json_object_get(meta, META "protocolVersion");
  if (version == NULL) return 1;
  rq->modern = 1;
  if (!json_is_string(version) || !json_is_object(json_object_get(meta, META "clientCapabilities"))) {
    reply_error(rq->id, INVALID_PARAMS,
                "_meta lacks " META "clientCapabilities, or its protocolVersion is no string", NULL);
    return 0;
  }
  if (strcmp(json_string_value(version), MODERN) == 0) return 1;
  reply_error(rq->id, UNSUPPORTED_VERSION, "unsupported protocol version",
              json_pack("{s:[s], s:O}", "supported", MODERN, "requested", version));
  return 0;
}

static void on_request(struct request *rq) {
  if (!judge_era(rq)) return;
  for (size_t i = 0; i < METHOD_COUNT; i++) {
    if (strcmp(METHODS[i].name, rq->method) != 0 ||
        !(METHODS[i].where & (rq->modern ? IN_MODERN : IN_LEGACY)))
      continue;
    if (!rq->modern && !initialized && !(METHODS[i].where & BEFORE_INITIALIZE))
      reply_error(rq->id, INVALID_REQUEST, "send initialize first", NULL);
    else if (find_slow(rq->id)) reply_error(rq->id, INVALID_REQUEST, "this id is still in use", NULL);
    else METHODS[i].run(rq);
    return;
  }
  reply_error(rq->id, NO_METHOD, "method not found", NULL);
}

/* Of the notifications only this one asks for something. A cancelled call gets no answer. */
static void on_notification(const struct request *rq) {
  json_t *id = json_object_get(rq->params, "requestId");
  struct slow *s = id && strcmp(rq->method, "notifications/cancelled") == 0 ? find_slow(id) : NULL;
  if (s) end_slow(s);
}

static void on_message(const json_t *message) {
  json_t *id = json_object_get(message, "id");
  struct request rq = {json_string_value(json_object_get(message, "method")), id,
                       json_object_get(message, "params"), 0};
  int id_is_good = json_is_string(id) || json_is_integer(id);
  if (rq.method == NULL || (id && !id_is_good) || (rq.params && !json_is_object(rq.params)))
    reply_error(id_is_good ? id : NULL, INVALID_REQUEST, "not a request or notification of JSON-RPC 2.0",
                NULL);
  else if (id) on_request(&rq);
  else on_notification(&rq);
}

/* A line is one message or, in 2025-03-26 alone, a batch; its members are answered one by one. */
static void on_line(const char *line, size_t len) {
  size_t i;
  json_t *member, *message = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
  if (message == NULL) reply_error(NULL, PARSE_ERROR, "not JSON", NULL);
  else if (json_is_array(message) && json_array_size(message) > 0)
    json_array_foreach(message, i, member) on_message(member);
  else on_message(message);
  json_decref(message);
}

/* Reads what is there and handles the lines that are whole. Returns 0 at the end of input. */
static int read_lines(void) {
  static char line[LINE_MAX_BYTES];
  static size_t held; /* bytes of a line whose end has not come yet */
  ssize_t got = read(STDIN_FILENO, line + held, sizeof line - held);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  if (got == 0) return 0; /* also when a line fills the whole buffer: no way to find back into step */
  char *from = line, *look = line + held, *end = look + got, *eol;
  for (; (eol = memchr(look, '\n', (size_t)(end - look))) != NULL; from = look = eol + 1)
    if (eol > from) on_line(from, (size_t)(eol - from));
  held = (size_t)(end - from);
  memmove(line, from, held);
  return 1;
}

int main(void) {
  struct pollfd in = {STDIN_FILENO, POLLIN, 0};
  int more = 1;
  notes = json_array();
  if (notes == NULL) return 1;
  while (more) {
    int n = poll(&in, 1, run_slow());
    if (n > 0) more = read_lines();
    else if (n < 0 && errno != EINTR) more = 0;
  }
  for (size_t i = 0; i < SLOW_MAX; i++) end_slow(&slow[i]);
  json_decref(notes);
  return 0;
}
