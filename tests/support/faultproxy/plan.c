/* faultproxy/plan: see plan.h. The same seed and the same nth give the same fault, whatever came before. */
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const fault_names[F_KINDS] = {"pass", "early", "cutreq",   "drop",  "late", "cut",
                                          "rst",  "mute",  "halfopen", "delay", "drip", "dup"};

static int kind_of(const char *name, size_t n) {
  for (int k = 0; k < F_KINDS; k++)
    if (strlen(fault_names[k]) == n && memcmp(fault_names[k], name, n) == 0) return k;
  return -1;
}

int plan_weights(struct plan *p, const char *text) {
  int weights[F_KINDS] = {0}, sum = 0;
  while (*text != '\0') {
    size_t n = strcspn(text, "=,");
    int k = kind_of(text, n);
    if (k < 0 || text[n] != '=') return 0;
    char *end;
    long w = strtol(text + n + 1, &end, 10);
    if (w < 0 || w > 1000 || (*end != '\0' && *end != ',')) return 0;
    sum += weights[k] = (int)w;
    text = *end == ',' ? end + 1 : end;
  }
  if (sum > 1000) return 0;
  memcpy(p->weights, weights, sizeof weights);
  return 1;
}

int plan_fault(const char *text, struct fault *f) {
  size_t n = strcspn(text, " ");
  struct fault got = {.kind = kind_of(text, n)};
  if (got.kind < 0) return 0;
  if (sscanf(text + n, "%ld %ld", &got.a, &got.b) >= 1 && (got.a < 0 || got.b < 0)) return 0;
  if (got.kind == F_DRIP && got.a == 0) got.a = 1;
  *f = got;
  return 1;
}

int plan_order(struct plan *p, const struct fault *f) {
  size_t max = sizeof p->next / sizeof *p->next;
  if (p->waiting == max) return 0;
  p->next[(p->first + p->waiting++) % max] = *f;
  return 1;
}

/* splitmix64 (public domain, S. Vigna): a good hash of a counter. */
static uint64_t dice(uint64_t seed, uint64_t nth) {
  uint64_t z = seed + (nth + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

void plan_draw(struct plan *p, uint64_t nth, struct fault *f) {
  if (p->waiting > 0) {
    *f = p->next[p->first];
    p->first = (p->first + 1) % (sizeof p->next / sizeof *p->next);
    p->waiting--;
    return;
  }
  *f = p->always;
  if (f->kind != F_PASS) return;
  uint64_t r = dice(p->seed, nth);
  int roll = (int)(r % 1000);
  long where = (long)((r >> 16) % (uint64_t)(p->span + 1)), wait = 1 + (long)((r >> 40) % (uint64_t)p->ms);
  for (int k = 1; k < F_KINDS; roll -= p->weights[k++])
    if (roll < p->weights[k]) {
      f->kind = k;
      f->a = k == F_DELAY ? wait : k == F_DRIP ? 16 + where / 16 : where;
      f->b = k == F_DRIP ? 1 + wait / 64 : 0;
      return;
    }
}
