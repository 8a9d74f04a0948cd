/* Payloads that decoding and encoding would change, and the small helpers of the json tests. */
#include "mcpgw/types.h"
#include "json/json_suites.h"

const char *const json_nasty[] = {"0.1",
                                  "1.10",
                                  "1E400",
                                  "-1e-400",
                                  "1e+0",
                                  "0.0",
                                  "-0",
                                  "-0.0",
                                  "9223372036854775808",
                                  "18446744073709551615",
                                  "123456789012345678901234567890.123456789012345678901234567890",
                                  "\"\\u0000\"",
                                  "\"\\/\"",
                                  "\"/\"",
                                  "\"\\ud83d\\ude00\"",
                                  "\"\xf0\x9f\x98\x80\"",
                                  "\"\\ud800\"",
                                  "\"\\udc00\\ud800\"",
                                  "\"\\u00e9\\u00E9\xc3\xa9\"",
                                  "\"\\u0041\"",
                                  "\"\\\"\\\\\\b\\f\\n\\r\\t\"",
                                  "\"\x7f\"",
                                  "\"\xe2\x80\xa8\xe2\x80\xa9\"",
                                  "\"\xef\xbf\xbf\"",
                                  "\"\xf4\x8f\xbf\xbf\"",
                                  "{\"a\":1,\"a\":2,\"\\u0061\":3}",
                                  "{\"\":0}",
                                  "{ }",
                                  "[\t]",
                                  "[\r\n1 ,\n\t2\r]",
                                  "{\n  \"x\" :\t[ 1 , 2 ]\n}",
                                  "[[[[[[[[[[{\"deep\":[{}]}]]]]]]]]]]",
                                  "\"}],{[\\\"\"",
                                  "true",
                                  "false",
                                  "null",
                                  "\"\"",
                                  "{\"id\":1,\"jsonrpc\":\"1.0\",\"method\":null,\"params\":{\"_meta\":{}}}",
                                  "{\"__proto__\":{\"constructor\":1}}",
                                  "[1,1.0,1e0,10E-1]",
                                  NULL};

char *json_tight(const void *data, size_t len) {
  char *out = malloc(len ? len : 1);
  ck_assert_ptr_nonnull(out);
  if (len) memcpy(out, data, len);
  return out;
}

char *json_nested(const char *open, const char *core, const char *close, size_t depth) {
  size_t o = strlen(open), c = strlen(close), k = strlen(core);
  char *out = malloc(depth * (o + c) + k + 1), *p = out;
  ck_assert_ptr_nonnull(out);
  for (size_t i = 0; i < depth; i++, p += o) memcpy(p, open, o);
  memcpy(p, core, k);
  p += k;
  for (size_t i = 0; i < depth; i++, p += c) memcpy(p, close, c);
  *p = 0;
  return out;
}

struct mg_span json_root(struct mg_slice doc) {
  struct mg_span root;
  struct mg_scan_result why;
  int rc = mg_json_scan(doc, NULL, NULL, 0, &root, &why);
  ck_assert_msg(rc == MCPGW_OK, "%s at %zu of %.*s", mg_scan_strerror(why.error), why.at, (int)doc.len,
                doc.ptr);
  return root;
}
