/* transport/peek: on a channel all calls share, tells which call a reply belongs to, for bookkeeping only
 * (who is still waiting if this channel must drop a message). Judging a message is not done here. */
#ifndef MG_TRANSPORT_PEEK_H
#define MG_TRANSPORT_PEEK_H
#include "base/slice.h"

enum { MG_PEEK_UNKNOWN = 0, MG_PEEK_REPLY = 1, MG_PEEK_OTHER = 2 }; /* OTHER: a request or notification */
struct mg_peek {
  int kind;
  int rpc;            /* a member "jsonrpc" was seen; not looked for behind what tells the rest */
  struct mg_slice id; /* raw JSON token, into the text; ptr NULL: not seen */
};
/* whole 0: the text is only the beginning of a message. want_id: look for the id of an OTHER as well.
 * Reads little: the leading members, and the tail where the result comes first. */
void mg_peek(struct mg_slice text, int whole, int want_id, struct mg_peek *out);
#endif
