/* http/parse: from bytes to one request at a time; no socket, no time, so that it can be fuzzed. llhttp
 * (strict, no lenient flag) decides the framing; the line guard in front of it refuses what llhttp
 * would let pass. A message is taken in by mg_http_parser_feed until MG_PARSE_DONE; bytes after it are
 * not touched. Private to the room. */
#ifndef MG_HTTP_PARSE_H
#define MG_HTTP_PARSE_H
#include "http/server.h"
#include <llhttp.h>

#define MG_HTTP_MAX_HEADERS 100
#define MG_HTTP_MAX_EXTENSIONS 256      /* bytes of chunk extensions a message may carry */
#define MG_HTTP_MAX_SIZE_LINE 320       /* bytes of one chunk's size line, all included */
#define MG_HTTP_MAX_TRAILERS (8 * 1024) /* bytes of the trailer section, which is checked and dropped */
#define MG_HTTP_BODY_STEP (64 * 1024)   /* a declared length is never believed beyond this */

/* The head of a request: one allocation, which `req`'s slices point into. */
struct mg_http_head {
  struct mg_http_request req;
  size_t charged;  /* bytes taken from the budget */
  uint64_t length; /* declared Content-Length */
  int minor;       /* HTTP/1.minor */
  int has_length, chunked, is_head;
  struct mg_header headers[];
};

enum { MG_PARSE_MORE, MG_PARSE_HEAD, MG_PARSE_DONE, MG_PARSE_REFUSED };

struct mg_http_parser {
  llhttp_t ll;
  const struct mg_http_limits *limits;      /* BORROWED */
  struct mg_budget *budget;                 /* BORROWED, may be NULL */
  struct mg_http_head *head;                /* OWNED until mg_http_parser_take_head */
  mg_blob *part;                            /* OWNED: an unfinished head or trailer section */
  mg_blob *body;                            /* OWNED until mg_http_parser_take_body */
  uint64_t body_left;                       /* of a Content-Length body */
  size_t size_line, extension;              /* bytes of the current chunk's size line; of all extensions */
  char last[2];                        /* of a chunked body: a chunk's edge is CR LF */
  size_t line, seen;                        /* where the current line starts, and how far it was searched */
  size_t lines;                             /* header lines seen (not the request line) */
  int stage, blank, done, failed, in_place; /* in_place: the bytes lie at the body's tail already */
  int status;                               /* MG_PARSE_REFUSED: the status to answer with … */
  const char *reason;                       /* … and why: static text, one line, lower case */
};

void mg_http_parser_init(struct mg_http_parser *p, const struct mg_http_limits *limits,
                         struct mg_budget *budget);
void mg_http_parser_done(struct mg_http_parser *p); /* frees what it holds; may be reused after init */
/* Takes bytes in; *used tells how many. MORE: all used, more wanted. HEAD: the head is complete, nothing
 * of the body was touched; call again for the rest (also with len 0, then DONE comes if there is no
 * body). DONE: the request is whole. REFUSED: status and reason are set; feed nothing more. */
int mg_http_parser_feed(struct mg_http_parser *p, const char *data, size_t len, size_t *used);
/* A body of declared length may be read in place: room (at most MG_HTTP_BODY_STEP) at *at, to be told by
 * mg_http_parser_filled. 0: not now, use feed. */
size_t mg_http_parser_room(struct mg_http_parser *p, char **at);
int mg_http_parser_filled(struct mg_http_parser *p, size_t len); /* as feed: MORE, DONE or REFUSED */
int mg_http_parser_started(const struct mg_http_parser *p);      /* 1: a byte of a request has been seen */
void mg_http_head_free(struct mg_http_head *h, struct mg_budget *budget);
#endif
