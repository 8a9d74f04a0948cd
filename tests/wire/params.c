/* tests/wire/params: x-mcp-header annotations: which are taken, which make a tool unusable, and how values
 * are mirrored and compared (2026-07-28, transports/streamable-http, "Custom Headers from Tool Parameters"). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mcpgw/types.h"
#include "wire/suites.h"


static int collect(const char *schema, struct mg_params *p, const char **why) {
  struct mg_slice doc = mg_slice_z(schema);
  ck_assert_int_eq(mg_json_scan(doc, NULL, NULL, 0, NULL, NULL), MCPGW_OK);
  return mg_params_collect(doc, mg_json_whole(doc), p, why);
}

#define PROPS(members) "{\"type\":\"object\",\"properties\":{" members "}}"
#define STR(name) "{\"type\":\"string\",\"x-mcp-header\":\"" name "\"}"

static const struct {
  const char *schema;
  const char *headers; /* comma-separated, NULL: the tool is refused */
} schemas[] = {
    {"{}", ""},
    {PROPS("\"a\":{\"type\":\"string\"}"), ""},
    {PROPS("\"a\":" STR("Region")), "Region"},
    {PROPS("\"a\":" STR("Region") ",\"b\":{\"type\":\"integer\",\"x-mcp-header\":\"N\"},\"c\":{\"x-mcp-header\":\"B\",\"type\":\"boolean\"}"), "Region,N,B"},
    {PROPS("\"a\":{\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"object\",\"properties\":{\"c\":" STR("Deep") "}}}}"), "Deep"},
    {PROPS("\"a\":{\"type\":\"string\",\"x-mcp\\u002dheader\":\"E\"}"), "E"},
    {PROPS("\"properties\":" STR("P")), "P"},            /* a property may be called so */
    {PROPS("\"x-mcp-header\":{\"type\":\"string\"}"), ""}, /* and so */
    {PROPS("\"a\":" STR("!#$%&'*+-.^_`|~09azAZ")), "!#$%&'*+-.^_`|~09azAZ"},
    {PROPS("\"a\":{\"type\":\"string\",\"description\":\"x-mcp-header\"}"), ""},
    /* each rule broken */
    {PROPS("\"a\":" STR("")), NULL},
    {PROPS("\"a\":" STR("a b")), NULL},
    {PROPS("\"a\":" STR("a:b")), NULL},
    {PROPS("\"a\":" STR("a\\r\\nEvil")), NULL},
    {PROPS("\"a\":" STR("\xc3\xa9")), NULL},
    {PROPS("\"a\":" STR("a/b")), NULL},
    {PROPS("\"a\":{\"type\":\"string\",\"x-mcp-header\":7}"), NULL},
    {PROPS("\"a\":{\"type\":\"string\",\"x-mcp-header\":null}"), NULL},
    {PROPS("\"a\":" STR("Region") ",\"b\":" STR("rEGION")), NULL},
    {PROPS("\"a\":{\"type\":\"number\",\"x-mcp-header\":\"N\"}"), NULL},
    {PROPS("\"a\":{\"type\":\"object\",\"x-mcp-header\":\"N\"}"), NULL},
    {PROPS("\"a\":{\"type\":\"array\",\"x-mcp-header\":\"N\"}"), NULL},
    {PROPS("\"a\":{\"type\":[\"string\",\"null\"],\"x-mcp-header\":\"N\"}"), NULL},
    {PROPS("\"a\":{\"x-mcp-header\":\"N\"}"), NULL},
    {"{\"type\":\"string\",\"x-mcp-header\":\"Root\"}", NULL},
    {PROPS("\"a\":{\"type\":\"array\",\"items\":" STR("I") "}"), NULL},
    {PROPS("\"a\":{\"type\":\"array\",\"prefixItems\":[" STR("I") "]}"), NULL},
    {"{\"oneOf\":[" PROPS("\"a\":" STR("I")) "]}", NULL},
    {"{\"anyOf\":[" PROPS("\"a\":" STR("I")) "]}", NULL},
    {"{\"allOf\":[" PROPS("\"a\":" STR("I")) "]}", NULL},
    {"{\"not\":" PROPS("\"a\":" STR("I")) "}", NULL},
    {"{\"if\":" PROPS("\"a\":" STR("I")) "}", NULL},
    {"{\"then\":" PROPS("\"a\":" STR("I")) "}", NULL},
    {"{\"else\":" PROPS("\"a\":" STR("I")) "}", NULL},
    {"{\"$defs\":{\"x\":" STR("I") "},\"properties\":{\"a\":{\"$ref\":\"#/$defs/x\"}}}", NULL},
    {"{\"patternProperties\":{\"x\":" STR("I") "}}", NULL},
    {"{\"additionalProperties\":" STR("I") "}", NULL},
    {PROPS("\"\":" STR("Empty")), NULL},
    {PROPS("\"a\\u0000b\":" STR("Nul")), NULL},
    {PROPS("\"\\ud800\":" STR("Lone")), NULL},
};

START_TEST(annotations) {
  struct mg_params p;
  const char *why = NULL;
  char got[256] = "";
  int64_t live = mg_mem_live();
  int rc = collect(schemas[_i].schema, &p, &why);
  for (size_t i = 0; i < p.n; i++) {
    if (i) strcat(got, ",");
    strcat(got, p.v[i].header);
  }
  if (schemas[_i].headers) {
    ck_assert_msg(rc == MCPGW_OK, "%s: %s", schemas[_i].schema, why ? why : "?");
    ck_assert_str_eq(got, schemas[_i].headers);
  } else {
    ck_assert_msg(rc == MCPGW_E_INVALID, "%s was taken", schemas[_i].schema);
    ck_assert_ptr_nonnull(why);
    ck_assert_uint_gt(strlen(why), 10);
  }
  mg_params_done(&p);
  ck_assert_int_eq(mg_mem_live(), live);
}
END_TEST

START_TEST(annotations_have_ceilings) {
  struct mg_params p;
  const char *why;
  char *schema = malloc(65536);
  for (int n = MG_PARAMS_MAX; n <= MG_PARAMS_MAX + 1; n++) {
    size_t at = (size_t)sprintf(schema, "{\"properties\":{");
    for (int i = 0; i < n; i++)
      at += (size_t)sprintf(schema + at, "%s\"p%d\":{\"type\":\"string\",\"x-mcp-header\":\"H%d\"}", i ? "," : "", i, i);
    strcpy(schema + at, "}}");
    ck_assert_int_eq(collect(schema, &p, &why), n > MG_PARAMS_MAX ? MCPGW_E_INVALID : MCPGW_OK);
    mg_params_done(&p);
  }
  for (size_t n = 128; n <= 129; n++) { /* the header's name */
    size_t at = (size_t)sprintf(schema, "{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"");
    memset(schema + at, 'h', n);
    strcpy(schema + at + n, "\"}}}");
    ck_assert_int_eq(collect(schema, &p, &why), n > 128 ? MCPGW_E_INVALID : MCPGW_OK);
    mg_params_done(&p);
  }
  size_t at = (size_t)sprintf(schema, "{\"properties\":{\""); /* a property's name */
  memset(schema + at, 'p', 5000);
  strcpy(schema + at + 5000, "\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}");
  ck_assert_int_eq(collect(schema, &p, &why), MCPGW_E_INVALID);
  free(schema);
}
END_TEST

START_TEST(deep_schemas_are_refused_not_walked) {
  char schema[4096];
  struct mg_params p;
  const char *why;
  size_t at = 0;
  for (int i = 0; i < 100; i++) at += (size_t)sprintf(schema + at, "{\"not\":");
  at += (size_t)sprintf(schema + at, "{\"x-mcp-header\":\"A\"}");
  memset(schema + at, '}', 100);
  schema[at + 100] = 0;
  ck_assert_int_eq(collect(schema, &p, &why), MCPGW_E_INVALID);
}
END_TEST

/* ---- values ------------------------------------------------------------------------------------------------- */

static const char one_of_each[] =
    PROPS("\"s\":" STR("S") ",\"i\":{\"type\":\"integer\",\"x-mcp-header\":\"I\"},\"b\":{\"type\":\"boolean\",\"x-mcp-header\":\"B\"},"
          "\"o\":{\"properties\":{\"d\":" STR("D") "}}");

static const struct {
  const char *arguments, *headers;
  int ok;
} params[] = {
    {"{}", "", 1},
    {"{\"s\":\"x\"}", "Mcp-Param-S: x\n", 1},
    {"{\"s\":\"x\"}", "mcp-param-s: x\n", 1},
    {"{\"s\":\"\"}", "Mcp-Param-S:\n", 1},
    {"{\"s\":\"x\"}", "Mcp-Param-S: y\n", 0},
    {"{\"s\":\"x\"}", "", 0},
    {"{\"s\":\"x\"}", "Mcp-Param-S: x\nMcp-Param-S: x\n", 0},
    {"{}", "Mcp-Param-S: x\n", 0},
    {"{\"s\":null}", "", 1},
    {"{\"s\":null}", "Mcp-Param-S: null\n", 0},
    {"{\"s\":\"x\"}", "Mcp-Param-S: =?base64?eA==?=\n", 1},
    {"{\"s\":\"\\u4e16\\u754c\"}", "Mcp-Param-S: =?base64?5LiW55WM?=\n", 1},
    {"{\"s\":\"x\"}", "Mcp-Param-S: =?base64?eA=?=\n", 0},
    {"{\"s\":\"42\"}", "Mcp-Param-S: 42.0\n", 0}, /* a string is compared as one */
    {"{\"s\":{}}", "Mcp-Param-S: {}\n", 0},
    {"{\"s\":[]}", "", 0},
    {"{\"b\":true}", "Mcp-Param-B: true\n", 1},
    {"{\"b\":true}", "Mcp-Param-B: True\n", 0},
    {"{\"b\":false}", "Mcp-Param-B: false\n", 1},
    {"{\"b\":false}", "Mcp-Param-B: 0\n", 0},
    {"{\"i\":42}", "Mcp-Param-I: 42\n", 1},
    {"{\"i\":42}", "Mcp-Param-I: 42.0\n", 1},
    {"{\"i\":42.0}", "Mcp-Param-I: 42\n", 1},
    {"{\"i\":4.2e1}", "Mcp-Param-I: 42\n", 1},
    {"{\"i\":420E-1}", "Mcp-Param-I: 42\n", 1},
    {"{\"i\":42}", "Mcp-Param-I: 4.2e1\n", 1},
    {"{\"i\":42}", "Mcp-Param-I: =?base64?NDI=?=\n", 1},
    {"{\"i\":-7}", "Mcp-Param-I: -7\n", 1},
    {"{\"i\":-7}", "Mcp-Param-I: 7\n", 0},
    {"{\"i\":0}", "Mcp-Param-I: -0\n", 1},
    {"{\"i\":-0.0}", "Mcp-Param-I: 0\n", 1},
    {"{\"i\":0e5}", "Mcp-Param-I: 0\n", 1},
    {"{\"i\":100}", "Mcp-Param-I: 1e2\n", 1},
    {"{\"i\":42}", "Mcp-Param-I: 43\n", 0},
    {"{\"i\":42}", "Mcp-Param-I: 42.5\n", 0},
    {"{\"i\":42}", "Mcp-Param-I:\n", 0},
    {"{\"i\":42}", "Mcp-Param-I: 4 2\n", 0},
    {"{\"i\":42}", "Mcp-Param-I: 42e\n", 0},  /* not a number */
    {"{\"i\":42}", "Mcp-Param-I: 42e+\n", 0},
    {"{\"i\":42}", "Mcp-Param-I: 42.\n", 0},
    {"{\"i\":42}", "Mcp-Param-I: 042\n", 0},
    {"{\"i\":42}", "Mcp-Param-I: +42\n", 0},
    {"{\"i\":0}", "Mcp-Param-I: .0\n", 0},
    {"{\"i\":42}", "Mcp-Param-I: 42x\n", 0},
    {"{\"i\":42}", "Mcp-Param-I: 0x2a\n", 0},
    {"{\"i\":9007199254740991}", "Mcp-Param-I: 9007199254740991\n", 1},
    {"{\"i\":-9007199254740991}", "Mcp-Param-I: -9007199254740991.0\n", 1},
    {"{\"i\":9007199254740992}", "Mcp-Param-I: 9007199254740993\n", 0}, /* equal as doubles, and unsafe */
    {"{\"i\":9007199254740993}", "Mcp-Param-I: 9007199254740993\n", 1}, /* letter by letter the same */
    {"{\"i\":1e400}", "Mcp-Param-I: 1\n", 0},
    {"{\"i\":1.5}", "Mcp-Param-I: 1.5\n", 1},
    {"{\"o\":{\"d\":\"deep\"}}", "Mcp-Param-D: deep\n", 1},
    {"{\"o\":{}}", "", 1},
    {"{\"o\":7}", "", 1},
    {"{\"d\":\"deep\"}", "Mcp-Param-D: deep\n", 0}, /* not at the exact path */
    {"{\"s\":\"x\"}", "Mcp-Param-S: x\nMcp-Param-Other: 1\n", 1},
};

START_TEST(parameters_against_headers) {
  char doc[1024], headers[512];
  struct mg_msg m;
  struct mg_params p;
  struct mg_header_fault why = {0, ""};
  ck_assert_int_eq(collect(one_of_each, &p, NULL), MCPGW_OK);
  ck_assert_uint_eq(p.n, 4);
  snprintf(doc, sizeof doc, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"arguments\":%s}}", params[_i].arguments);
  snprintf(headers, sizeof headers, "%s", params[_i].headers);
  wire_must(doc, &m);
  int rc = mg_params_check(&p, &m, wire_get, headers, &why);
  ck_assert_msg((rc == MCPGW_OK) == params[_i].ok, "%s | %s: %d %s", params[_i].arguments, params[_i].headers, rc, why.text);
  if (rc != MCPGW_OK) ck_assert_int_eq(why.code, MG_RPC_HEADERS);
  mg_params_done(&p);
}
END_TEST

START_TEST(no_arguments_at_all) {
  char none[] = "";
  struct mg_msg m;
  struct mg_params p;
  struct mg_header_fault why;
  struct mg_buf b;
  size_t n;
  mg_buf_init(&b, 100);
  ck_assert_int_eq(collect(one_of_each, &p, NULL), MCPGW_OK);
  wire_must("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"}}", &m);
  ck_assert_int_eq(mg_params_check(&p, &m, wire_get, none, &why), MCPGW_OK);
  ck_assert_int_eq(mg_params_mirror(&p, &m, &b, &n), MCPGW_OK);
  ck_assert_uint_eq(n, 0);
  mg_params_done(&p);
  mg_buf_done(&b);
}
END_TEST

/* Both sides need unescaping or decoding, and both are long: neither may move the other away. */
START_TEST(long_values_of_both_spellings) {
  struct mg_buf h, d;
  struct mg_msg m;
  struct mg_params p;
  struct mg_header_fault why = {0, ""};
  char *text = malloc(9001);
  for (int i = 0; i < 3000; i++) memcpy(text + 3 * i, "\xe4\xb8\x96", 3);
  text[9000] = 0;
  mg_buf_init(&h, 100000);
  mg_buf_init(&d, 100000);
  mg_buf_addz(&h, "Mcp-Param-S: ");
  mg_header_encode(&h, mg_slice_z(text));
  mg_buf_addz(&h, "\n");
  mg_buf_addc(&h, 0);
  mg_buf_addz(&d, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"arguments\":{\"s\":\"");
  for (int i = 0; i < 3000; i++) mg_buf_addz(&d, "\\u4e16");
  mg_buf_addz(&d, "\"}}}");
  mg_buf_addc(&d, 0);
  ck_assert_int_eq(collect(one_of_each, &p, NULL), MCPGW_OK);
  wire_must(d.ptr, &m);
  ck_assert_msg(mg_params_check(&p, &m, wire_get, h.ptr, &why) == MCPGW_OK, "%s", why.text);
  mg_params_done(&p);
  mg_buf_done(&h);
  mg_buf_done(&d);
  free(text);
}
END_TEST

/* ---- outbound ------------------------------------------------------------------------------------------------- */

static const struct {
  const char *arguments, *lines; /* as "Name: value\n" */
} mirrors[] = {
    {"{}", ""},
    {"{\"s\":null,\"i\":null}", ""},
    {"{\"s\":\"a b\",\"i\":-7,\"b\":true,\"o\":{\"d\":\"x\"}}", "Mcp-Param-S: a b\nMcp-Param-I: -7\nMcp-Param-B: true\nMcp-Param-D: x\n"},
    {"{\"i\":42.0}", "Mcp-Param-I: 42\n"},
    {"{\"i\":4.2e1}", "Mcp-Param-I: 42\n"},
    {"{\"i\":-0}", "Mcp-Param-I: 0\n"},
    {"{\"i\":9007199254740993}", "Mcp-Param-I: 9007199254740993\n"}, /* as it came: the server decides */
    {"{\"s\":\"a\\r\\nX-Evil: 1\"}", "Mcp-Param-S: =?base64?YQ0KWC1FdmlsOiAx?=\n"},
    {"{\"s\":\"\\u0000\"}", "Mcp-Param-S: =?base64?AA==?=\n"},
    {"{\"s\":{\"x\":1},\"b\":\"text\"}", "Mcp-Param-B: text\n"}, /* of another type: mirrored when it is primitive */
};

START_TEST(parameters_are_mirrored) {
  char doc[1024], lines[2048] = "";
  struct mg_msg m;
  struct mg_params p;
  struct mg_buf b;
  struct mg_header_fault why = {0, ""};
  size_t n, at = 0;
  mg_buf_init(&b, 4096);
  ck_assert_int_eq(collect(one_of_each, &p, NULL), MCPGW_OK);
  snprintf(doc, sizeof doc, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"arguments\":%s}}", mirrors[_i].arguments);
  wire_must(doc, &m);
  ck_assert_int_eq(mg_params_mirror(&p, &m, &b, &n), MCPGW_OK);
  const char *text = b.ptr;
  for (size_t i = 0; i < n; i++, text += strlen(text) + 1) {
    const char *name = text;
    text += strlen(text) + 1;
    at += (size_t)snprintf(lines + at, sizeof lines - at, "%s: %s\n", name, text);
  }
  ck_assert_str_eq(lines, mirrors[_i].lines);
  if (!strstr(mirrors[_i].arguments, "{\"x\":1}")) /* a receiver that checks would be content */
    ck_assert_msg(mg_params_check(&p, &m, wire_get, lines, &why) == MCPGW_OK, "%s", why.text);
  mg_params_done(&p);
  mg_buf_done(&b);
}
END_TEST

START_TEST(collecting_survives_want_of_memory) {
  int64_t live = mg_mem_live();
  int failed = 1;
  for (uint64_t n = 1; failed && n < 100; n++) {
    struct mg_params p;
    const char *why = NULL;
    mg_mem_fail_after(n, 0);
    int rc = collect(one_of_each, &p, &why);
    failed = mg_mem_failed() > 0;
    mg_mem_fail_after(0, 0);
    ck_assert_int_eq(rc, failed ? MCPGW_E_NOMEM : MCPGW_OK); /* never "this tool is invalid" */
    mg_params_done(&p);
    ck_assert_int_eq(mg_mem_live(), live);
  }
  ck_assert_int_eq(failed, 0);
}
END_TEST

Suite *wire_params_suite(void) {
  Suite *s = suite_create("wire/params");
  TCase *t = tcase_create("params");
  wire_rows(t, annotations, schemas);
  tcase_add_test(t, annotations_have_ceilings);
  tcase_add_test(t, deep_schemas_are_refused_not_walked);
  wire_rows(t, parameters_against_headers, params);
  tcase_add_test(t, no_arguments_at_all);
  tcase_add_test(t, long_values_of_both_spellings);
  wire_rows(t, parameters_are_mirrored, mirrors);
  tcase_add_test(t, collecting_survives_want_of_memory);
  suite_add_tcase(s, t);
  return s;
}
