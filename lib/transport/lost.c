/* transport/lost: knows how servers say that a session id is not theirs (any more) when they do not say 404:
 * 400 with words, and 200 with a JSON-RPC error. It reads short errors only and judges by their words; on
 * anything that could be the answer to a request its verdict must be no. */
#include <string.h>
#include <strings.h>

#include "transport/http_priv.h"
#include "transport/peek.h"

enum { ERROR_MAX = 512 }; /* a longer text is no such error */

static int says(struct mg_slice text, const char *word) {
  size_t n = strlen(word);
  for (size_t i = 0; i + n <= text.len; i++)
    if (!strncasecmp(text.ptr + i, word, n)) return 1;
  return 0;
}

static int says_one_of(struct mg_slice text, const char *const *words) {
  while (*words)
    if (says(text, *words++)) return 1;
  return 0;
}

/* An id that is a number is the request's own (ours are numbers): this is about that request, and may be the
 * tool's word about a session of its own. */
static int answers_a_request(struct mg_slice text) {
  struct mg_peek k;
  mg_peek(text, 1, 1, &k);
  return k.id.ptr && k.id.len && (k.id.ptr[0] == '-' || (k.id.ptr[0] >= '0' && k.id.ptr[0] <= '9'));
}

/* -32600, an invalid request, was not carried out. */
static int is_of_the_protocol(struct mg_slice text) {
  return says(text, "-32600") || says(text, "mcp-session-id");
}

int mg_http_says_lost(int status, struct mg_slice text) {
  static const char *const gone[] = {"not found", "no valid", "invalid", "unknown", "expired", "terminated",
                                     "does not exist", NULL};
  if (text.len > ERROR_MAX) return 0;
  int never_met = says(text, "not initialized"); /* a server that was started anew and has one session in all */
  int lost = says(text, "session") && says_one_of(text, gone);
  if (status == 400) return lost || never_met;
  if (status < 200 || status > 299 || !says(text, "\"error\"") || says(text, "\"result\"")) return 0;
  return lost && (!answers_a_request(text) || is_of_the_protocol(text));
}
