/* http/head: the line guard and the head of a request. Private to the room. */
#ifndef MG_HTTP_HEAD_H
#define MG_HTTP_HEAD_H
#include "http/parse.h"

/* Each returns 0, or the status to refuse with and *why (static text). A line comes without its LF. */
int mg_http_check_request_line(struct mg_slice line, const char **why);
int mg_http_check_field_line(struct mg_slice line, const char **why);
int mg_http_check_trailer_line(struct mg_slice line, const char **why);
/* 1: the first byte could begin a request (so that TLS and noise are refused at once). */
int mg_http_check_first_byte(char c);
/* block: checked lines, n_headers of them header lines, the empty line last. COPIED. */
int mg_http_head_build(struct mg_slice block, size_t n_headers, struct mg_budget *budget,
                       struct mg_http_head **out, const char **why);
#endif
