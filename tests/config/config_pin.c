/* Lock files: read, refused, compared. */
#include "config/config_tests.h"
#include <stdlib.h>
#include <unistd.h>

static char file[] = "/tmp/mcpgw-pin.XXXXXX";

static void write_lock(const char *text) {
  int fd = mkstemp(strcpy(file, "/tmp/mcpgw-pin.XXXXXX"));
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
  close(fd);
}

static struct mg_config *with_lock(const char *mode) {
  char text[400];
  snprintf(text, sizeof text, "{\"gateway\":{\"pin\":{\"file\":\"%s\",\"mode\":\"%s\"}}}", file, mode);
  return config_good(text);
}

static const char good[] =
    "{\"mcpgw_lock\":1, \"servers\":{\"a\":{\"tools\":[{\"name\":\"t\",\"description\":\"x y\",\n"
    "\"inputSchema\":{\"type\":\"object\", \"n\":1e400}},{\"name\":\"u\\u0061\"}],\"prompts\":[{\"name\":\"t\"}]},\"b\":{}}}";

static int look(const struct mg_config *c, const char *server, int kind, const char *name, const char *def,
                const char *changed) {
  struct mg_buf b;
  mg_buf_init(&b, 1000);
  int v = mg_config_pinned(c, mg_slice_z(server), kind, mg_slice_z(name), mg_slice_z(def), &b);
  mg_buf_addc(&b, 0);
  ck_assert_str_eq(b.ptr, changed);
  mg_buf_done(&b);
  return v;
}

START_TEST(definitions_are_compared_whole) {
  struct mg_err err;
  int64_t before = mg_mem_live();
  mg_err_clear(&err);
  write_lock(good);
  struct mg_config *c = with_lock("block");
  ck_assert_int_eq(look(c, "a", MG_PIN_TOOL, "t", "{}", ""), MG_PIN_FREE); /* not before it was read */
  ck_assert_int_eq(mg_config_lock(c, &err), MCPGW_OK);
  const char *same = "{\"name\": \"t\",\n\"description\":\"x y\",\t\"inputSchema\":{\"type\":\"object\",\"n\":1e400}}";
  ck_assert_int_eq(look(c, "a", MG_PIN_TOOL, "t", same, ""), MG_PIN_SAME);
  const char *spaced = "{\"name\":\"t\",\"description\":\"x  y\",\"inputSchema\":{\"type\":\"object\",\"n\":1e400}}";
  ck_assert_int_eq(look(c, "a", MG_PIN_TOOL, "t", spaced, "description"), MG_PIN_CHANGED);
  const char *more = "{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\",\"n\":1e401},\"annotations\":{}}";
  ck_assert_int_eq(look(c, "a", MG_PIN_TOOL, "t", more, "inputSchema, +annotations, -description"), MG_PIN_CHANGED);
  const char *moved = "{\"description\":\"x y\",\"name\":\"t\",\"inputSchema\":{\"type\":\"object\",\"n\":1e400}}";
  ck_assert_int_eq(look(c, "a", MG_PIN_TOOL, "t", moved, "the order of its members"), MG_PIN_CHANGED);
  ck_assert_int_eq(look(c, "a", MG_PIN_TOOL, "ua", "{\"name\":\"u\\u0061\"}", ""), MG_PIN_SAME);
  ck_assert_int_eq(look(c, "a", MG_PIN_PROMPT, "t", "{\"name\":\"t\"}", ""), MG_PIN_SAME);
  ck_assert_int_eq(look(c, "a", MG_PIN_PROMPT, "ua", "{\"name\":\"ua\"}", ""), MG_PIN_ADDED);
  ck_assert_int_eq(look(c, "b", MG_PIN_TOOL, "t", "{\"name\":\"t\"}", ""), MG_PIN_ADDED);
  ck_assert_int_eq(look(c, "c", MG_PIN_TOOL, "t", "{\"name\":\"t\"}", ""), MG_PIN_FREE);
  mg_config_unref(c);
  unlink(file);
  ck_assert_int_eq(mg_mem_live(), before);
}
END_TEST

START_TEST(bad_lock_files_are_refused) {
  static const char *const bad[][2] = {
      {"", "is no valid JSON"},
      {"{\"mcpgw_lock\":1,\"servers\":{}", "is no valid JSON"},
      {"[]", "is no lock file of this version"},
      {"{\"mcpgw_lock\":2,\"servers\":{}}", "is no lock file of this version"},
      {"{\"mcpgw_lock\":1}", "is no lock file of this version"},
      {"{\"mcpgw_lock\":1,\"servers\":{\"a\":[]}}", "is no lock file of this version"},
      {"{\"mcpgw_lock\":1,\"servers\":{\"a\":{\"tools\":{}}}}", "is no lock file of this version"},
      {"{\"mcpgw_lock\":1,\"servers\":{\"a\":{\"tools\":[1]}}}", "is no lock file of this version"},
      {"{\"mcpgw_lock\":1,\"servers\":{\"a\":{\"tools\":[{\"name\":1}]}}}", "is no lock file of this version"},
      {"{\"mcpgw_lock\":1,\"servers\":{\"a\":{\"tools\":[{\"name\":\"\\ud800\"}]}}}", "is no lock file of this version"},
      {"{\"mcpgw_lock\":1,\"servers\":{\"a\":{\"tools\":[{\"name\":\"x\"},{\"name\":\"x\"}]}}}", "names something twice"},
      {"{\"mcpgw_lock\":1,\"servers\":{\"a\":{},\"a\":{}}}", "names something twice"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct mg_err err;
    mg_err_clear(&err);
    write_lock(bad[i][0]);
    struct mg_config *c = with_lock("warn");
    ck_assert_int_eq(mg_config_lock(c, &err), MCPGW_E_CONFIG);
    ck_assert_msg(strstr(mg_err_text(&err), bad[i][1]) != NULL, "%s", mg_err_text(&err));
    ck_assert_msg(strncmp(mg_err_text(&err), "gateway.pin.file: ", 18) == 0, "%s", mg_err_text(&err));
    mg_config_unref(c);
    unlink(file);
  }
}
END_TEST

START_TEST(a_file_that_is_not_there_is_no_licence) {
  struct mg_err err;
  mg_err_clear(&err);
  snprintf(file, sizeof file, "/tmp/mcpgw-none");
  struct mg_config *c = with_lock("block");
  ck_assert_int_eq(mg_config_lock(c, &err), MCPGW_E_CONFIG);
  ck_assert_ptr_nonnull(strstr(mg_err_text(&err), "mcpgw pin writes it"));
  mg_config_unref(c);
  c = with_lock("off");
  ck_assert_int_eq(mg_config_lock(c, &err), MCPGW_OK);
  mg_config_unref(c);
}
END_TEST

START_TEST(each_allocation_may_fail) {
  struct mg_err err;
  write_lock(good);
  int rc = MCPGW_E_NOMEM;
  for (uint64_t n = 1; rc != MCPGW_OK; n++) {
    struct mg_config *c = with_lock("block");
    int64_t before = mg_mem_live();
    mg_err_clear(&err);
    mg_mem_fail_after(n, 0);
    rc = mg_config_lock(c, &err);
    mg_mem_fail_after(0, 0);
    ck_assert(rc == MCPGW_OK || rc == MCPGW_E_NOMEM);
    if (rc == MCPGW_OK) ck_assert_uint_gt(n, 5);
    else ck_assert_int_le(mg_mem_live() - before, 200); /* what is the snapshot's goes with it */
    mg_config_unref(c);
  }
  unlink(file);
}
END_TEST

Suite *config_pin_suite(void) {
  Suite *s = suite_create("config/pin");
  TCase *t = tcase_create("pin");
  tcase_add_test(t, definitions_are_compared_whole);
  tcase_add_test(t, bad_lock_files_are_refused);
  tcase_add_test(t, a_file_that_is_not_there_is_no_licence);
  tcase_add_test(t, each_allocation_may_fail);
  suite_add_tcase(s, t);
  return s;
}
