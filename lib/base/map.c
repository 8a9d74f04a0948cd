/* base/map: a dense array of entries and beside it an open-addressed index (linear probing) of slots
 * {hash, entry}. Owns copies of the keys, never the values. Deleting shifts the probe run back (no
 * tombstones) and moves the last entry into the hole; iteration walks the array from its end, so that
 * the entry moved into a hole was seen already. Keys up to 32 bytes (ids) cost no allocation. The hash
 * is SipHash-1-3 under a seed of the process: keys are chosen by attackers. Integer keys are not, they are
 * numbers we gave out ourselves: those are only spread. */
#include "base/map.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/mem.h"
#include "mcpgw/types.h"

#define KEY_INLINE 32
#define FIRST_SLOTS 4u
#define MAX_ENTRIES ((size_t)1 << 30)

struct entry {
  void *value;
  size_t len;
  union {
    char in[KEY_INLINE];
    char *ptr; /* OWNED when len > KEY_INLINE */
  } key;
};

struct slot {
  uint32_t hash;
  uint32_t entry; /* 1-based; 0 = free */
};

struct mg_map {
  struct entry *entries;
  struct slot *slots;
  size_t n_slots; /* a power of two, or 0 before the first put */
  size_t count, max;
  int integers; /* how its keys are hashed; may change while it is empty */
};

/* ---- hash ---- */

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void make_seed(void) {
  if (getrandom(seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed) return;
  struct timespec ts = {0}; /* a kernel without entropy yet: the time and ASLR are what there is */
  clock_gettime(CLOCK_MONOTONIC, &ts);
  seed[0] = (uint64_t)ts.tv_nsec * 0x9E3779B97F4A7C15u ^ (uintptr_t)&ts;
  seed[1] = (uint64_t)ts.tv_sec ^ (uintptr_t)&seed;
}

static inline uint64_t rotl(uint64_t x, int n) {
  return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4]) {
  v[0] += v[1];
  v[2] += v[3];
  v[1] = rotl(v[1], 13) ^ v[0];
  v[3] = rotl(v[3], 16) ^ v[2];
  v[0] = rotl(v[0], 32);
  v[2] += v[1];
  v[0] += v[3];
  v[1] = rotl(v[1], 17) ^ v[2];
  v[3] = rotl(v[3], 21) ^ v[0];
  v[2] = rotl(v[2], 32);
}

static uint32_t spread(struct mg_slice key) {
  uint64_t n;
  memcpy(&n, key.ptr, sizeof n);
  return (uint32_t)(n * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

static uint32_t sip(struct mg_slice key) {
  uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                   seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
  uint64_t last = (uint64_t)key.len << 56, word;
  size_t i = 0;
  for (; key.len - i >= sizeof word; i += sizeof word) {
    memcpy(&word, key.ptr + i, sizeof word);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
  }
  for (int shift = 0; i < key.len; i++, shift += 8) last |= (uint64_t)(unsigned char)key.ptr[i] << shift;
  v[3] ^= last;
  sip_round(v);
  v[0] ^= last;
  v[2] ^= 0xff;
  for (int r = 0; r < 3; r++) sip_round(v);
  word = v[0] ^ v[1] ^ v[2] ^ v[3];
  return (uint32_t)(word ^ word >> 32);
}

static uint32_t hash_of(const struct mg_map *m, struct mg_slice key) {
  return m->integers ? spread(key) : sip(key);
}

/* ---- entries and slots ---- */

static struct mg_slice key_of(const struct entry *e) {
  return mg_slice(e->len > KEY_INLINE ? e->key.ptr : e->key.in, e->len);
}

/* The slot that holds key, or the free one where its probe run ends. Only with n_slots > 0. */
static size_t probe(const struct mg_map *m, struct mg_slice key, uint32_t hash) {
  size_t mask = m->n_slots - 1, i = hash & mask;
  for (; m->slots[i].entry; i = (i + 1) & mask)
    if (m->slots[i].hash == hash && mg_slice_eq(key_of(&m->entries[m->slots[i].entry - 1]), key)) break;
  return i;
}

static size_t slot_of_entry(const struct mg_map *m, size_t entry) {
  size_t mask = m->n_slots - 1, i = hash_of(m, key_of(&m->entries[entry])) & mask;
  while (m->slots[i].entry != entry + 1) i = (i + 1) & mask;
  return i;
}

/* Three quarters of the slots are used at most, so every probe run ends. */
static size_t room_in(size_t n_slots) {
  return n_slots / 4 * 3;
}

static int grow(struct mg_map *m) {
  size_t n = m->n_slots ? m->n_slots * 2 : FIRST_SLOTS, mask = n - 1;
  struct slot *slots = mg_calloc(n, sizeof *slots);
  if (slots == NULL) return MCPGW_E_NOMEM;
  struct entry *entries = mg_realloc(m->entries, room_in(n) * sizeof *entries);
  if (entries == NULL) {
    mg_free(slots);
    return MCPGW_E_NOMEM;
  }
  for (size_t i = 0; i < m->n_slots; i++) {
    if (m->slots[i].entry == 0) continue;
    size_t to = m->slots[i].hash & mask;
    while (slots[to].entry) to = (to + 1) & mask;
    slots[to] = m->slots[i];
  }
  mg_free(m->slots);
  m->slots = slots;
  m->entries = entries;
  m->n_slots = n;
  return MCPGW_OK;
}

/* Frees slot i and moves back what its absence would cut off from its home slot. */
static void clear_slot(struct mg_map *m, size_t i) {
  size_t mask = m->n_slots - 1;
  for (size_t j = (i + 1) & mask; m->slots[j].entry; j = (j + 1) & mask) {
    size_t home = m->slots[j].hash & mask;
    if (((j - home) & mask) < ((j - i) & mask)) continue; /* its home lies behind the hole */
    m->slots[i] = m->slots[j];
    i = j;
  }
  m->slots[i] = (struct slot){0, 0};
}

/* ---- the map ---- */

struct mg_map *mg_map_new(size_t max) {
  pthread_once(&seed_once, make_seed);
  struct mg_map *m = mg_calloc(1, sizeof *m);
  if (m) m->max = max < MAX_ENTRIES ? max : MAX_ENTRIES;
  return m;
}

void mg_map_free(struct mg_map *m) {
  if (m == NULL) return;
  for (size_t i = 0; i < m->count; i++)
    if (m->entries[i].len > KEY_INLINE) mg_free(m->entries[i].key.ptr);
  mg_free(m->entries);
  mg_free(m->slots);
  mg_free(m);
}

static int put(struct mg_map *m, struct mg_slice key, void *value, int integer) {
  if (value == NULL || (m->count && m->integers != integer)) return MCPGW_E_INVALID;
  m->integers = integer;
  uint32_t hash = hash_of(m, key);
  if (m->n_slots && m->slots[probe(m, key, hash)].entry) return MCPGW_E_EXISTS;
  if (m->count >= m->max) return MCPGW_E_LIMIT;
  if (m->count >= room_in(m->n_slots)) {
    int rc = grow(m);
    if (rc != MCPGW_OK) return rc;
  }
  struct entry e = {.value = value, .len = key.len};
  if (key.len > KEY_INLINE) {
    e.key.ptr = mg_memdup(key.ptr, key.len);
    if (e.key.ptr == NULL) return MCPGW_E_NOMEM;
  } else if (key.len) {
    memcpy(e.key.in, key.ptr, key.len);
  }
  m->entries[m->count++] = e;
  m->slots[probe(m, key, hash)] = (struct slot){hash, (uint32_t)m->count};
  return MCPGW_OK;
}

int mg_map_put(struct mg_map *m, struct mg_slice key, void *value) {
  return put(m, key, value, 0);
}

static void *get(const struct mg_map *m, struct mg_slice key, int integer) {
  if (m->count == 0 || m->integers != integer) return NULL;
  uint32_t at = m->slots[probe(m, key, hash_of(m, key))].entry;
  return at ? m->entries[at - 1].value : NULL;
}

void *mg_map_get(const struct mg_map *m, struct mg_slice key) {
  return get(m, key, 0);
}

void *mg_map_set(struct mg_map *m, struct mg_slice key, void *value) {
  if (m->count == 0 || m->integers) return NULL;
  uint32_t at = m->slots[probe(m, key, hash_of(m, key))].entry;
  if (!at) return NULL;
  void *old = m->entries[at - 1].value;
  m->entries[at - 1].value = value;
  return old;
}

void mg_map_set_max(struct mg_map *m, size_t max) {
  m->max = max < MAX_ENTRIES ? max : MAX_ENTRIES;
}

static void *del(struct mg_map *m, struct mg_slice key, int integer) {
  if (m->count == 0 || m->integers != integer) return NULL;
  size_t slot = probe(m, key, hash_of(m, key));
  if (m->slots[slot].entry == 0) return NULL;
  size_t hole = m->slots[slot].entry - 1, last = m->count - 1;
  void *value = m->entries[hole].value;
  if (hole != last) m->slots[slot_of_entry(m, last)].entry = (uint32_t)hole + 1;
  clear_slot(m, slot);
  if (m->entries[hole].len > KEY_INLINE) mg_free(m->entries[hole].key.ptr);
  if (hole != last) m->entries[hole] = m->entries[last];
  m->count--;
  return value;
}

void *mg_map_del(struct mg_map *m, struct mg_slice key) {
  return del(m, key, 0);
}

size_t mg_map_count(const struct mg_map *m) {
  return m->count;
}

/* *it is 1 + the index of the entry met last, 0 at the start; 1 for ever once index 0 was met. */
void *mg_map_next(const struct mg_map *m, size_t *it, struct mg_slice *key) {
  size_t left = *it == 0 ? m->count : *it - 1;
  if (left > m->count) left = m->count;
  *it = left ? left : 1;
  if (left == 0) return NULL;
  const struct entry *e = &m->entries[left - 1];
  if (key) *key = key_of(e);
  return e->value;
}

int mg_map_putu(struct mg_map *m, uint64_t key, void *value) {
  return put(m, mg_slice(&key, sizeof key), value, 1);
}

void *mg_map_getu(const struct mg_map *m, uint64_t key) {
  return get(m, mg_slice(&key, sizeof key), 1);
}

void *mg_map_delu(struct mg_map *m, uint64_t key) {
  return del(m, mg_slice(&key, sizeof key), 1);
}
