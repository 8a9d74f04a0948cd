/* tests/gateway/many: contexts with processes of their own, opened and closed in a loop: what they took of the system
 * comes back. The figures are printed. */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "gateway/rig.h"
#include "gateway/suites.h"
#include "support/procs.h"

#define AT_ONCE 10
#define ROUNDS 20

static size_t fds(void) {
  size_t n = 0;
  DIR *d = opendir("/proc/self/fd");
  while (readdir(d)) n++;
  closedir(d);
  return n - 3; /* ".", ".." and d's own */
}

static size_t rss_kib(void) {
  unsigned long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f && fscanf(f, "%*u %lu", &pages) != 1) pages = 0;
  if (f) fclose(f);
  return pages * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void round_of(struct gwt *g) {
  mcpgw_client *c[AT_ONCE];
  for (int i = 0; i < AT_ONCE; i++) {
    char name[20];
    mcpgw_client_options o;
    uint64_t id;
    static const char params[] = "{\"name\":\"add_note\",\"arguments\":{\"text\":\"mine\"}}";
    mcpgw_client_options_init(&o);
    o.mode = MCPGW_CLIENT_LEGACY;
    o.principal = name;
    o.principal_len = (size_t)snprintf(name, sizeof name, "user-%d", i);
    ck_assert_int_eq(mcpgw_client_open_with(&c[i], g->gw, &o), MCPGW_OK);
    ck_assert_int_eq(mcpgw_client_request(c[i], "tools/call", 10, params, sizeof params - 1, &id), MCPGW_OK);
  }
  for (int replies = 0; replies < AT_ONCE;) {
    mcpgw_event *e = gwt_event(g, 20000);
    ck_assert_ptr_nonnull(e);
    ck_assert_msg(mcpgw_event_kind(e) != MCPGW_EVENT_CLOSED, "%s", mcpgw_event_data(e));
    if (mcpgw_event_kind(e) == MCPGW_EVENT_REPLY) {
      replies++;
      gwt_has(mcpgw_event_data(e), "note 1"); /* each server knows one note: its own caller's */
    }
    mcpgw_event_free(e);
  }
  for (int i = 0; i < AT_ONCE; i++) mcpgw_client_close(c[i]);
}

static void settle(struct gwt *g) {
  uint64_t end = gwt_ms() + 20000;
  while (gwt_stat(g, "children") && gwt_ms() < end) gwt_turn(g, 20);
  ck_assert_int_eq(gwt_stat(g, "children"), 0);
  ck_assert_int_eq(gwt_stat(g, "contexts"), 0);
}

START_TEST(what_processes_took_comes_back) {
  struct gwt g;
  char notes[4200];
  memset(&g, 0, sizeof g);
  snprintf(notes, sizeof notes, "%s", procs_launcher());
  char *slash = strrchr(notes, '/');
  snprintf(slash, sizeof notes - (size_t)(slash - notes), "/examples/notes");
  ck_assert_msg(access(notes, X_OK) == 0, "%s is not there: make it first", notes);
  const char *const argv[] = {notes, NULL};
  mcpgw_gateway_options o;
  mcpgw_gateway_options_init(&o);
  o.launcher = procs_launcher();
  ck_assert_int_eq(mcpgw_config_new(&g.config), MCPGW_OK);
  ck_assert_int_eq(mcpgw_config_add_stdio(g.config, "notes", 5, argv, NULL, NULL), MCPGW_OK);
  ck_assert_int_eq(mcpgw_gateway_new(&g.gw, g.config, &o), MCPGW_OK);
  round_of(&g);
  round_of(&g);
  settle(&g);
  size_t fds_before = fds(), rss_before = rss_kib();
  uint64_t start = gwt_ms();
  for (int i = 0; i < ROUNDS; i++) round_of(&g);
  settle(&g);
  printf("%d contexts with a process each, opened and closed in %llu ms: descriptors %zu -> %zu, RSS %zu -> %zu KiB, children 0\n",
         ROUNDS * AT_ONCE, (unsigned long long)(gwt_ms() - start), fds_before, fds(), rss_before, rss_kib());
  ck_assert_uint_eq(fds(), fds_before);
  mcpgw_gateway_free(g.gw);
  mcpgw_config_free(g.config);
}
END_TEST

Suite *gateway_many_suite(void) {
  Suite *s = suite_create("gateway/many");
  TCase *t = tcase_create("many");
  tcase_set_timeout(t, 120);
  tcase_add_test(t, what_processes_took_comes_back);
  suite_add_tcase(s, t);
  return s;
}
