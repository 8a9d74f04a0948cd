/* store/apply: owns what one write does inside a write transaction: the decision (insert, replace), the record and
 * its entry in the expiry index. Must never begin or end a transaction, and never call back. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/priv.h"

#define VERSION_KEY "version"

/* Versions go on across processes and compactions: the last one given is a record itself. */
int mg_versions_load(struct mg_env *e, MDB_txn *txn) {
  MDB_val key = {sizeof VERSION_KEY - 1, VERSION_KEY}, value;
  int rc = mdb_get(txn, e->meta, &key, &value);
  if (rc == MDB_NOTFOUND) e->version = 0;
  else if (!rc && value.mv_size == 8) e->version = mg_be64(value.mv_data);
  return rc == MDB_NOTFOUND ? 0 : rc;
}

int mg_versions_save(struct mg_env *e, MDB_txn *txn) {
  unsigned char bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(e->version >> (56 - 8 * i));
  MDB_val key = {sizeof VERSION_KEY - 1, VERSION_KEY}, value = {sizeof bytes, bytes};
  return mdb_put(txn, e->meta, &key, &value, 0);
}

static int unindex(struct mg_env *e, MDB_txn *txn, const mcpgw_record *r) {
  unsigned char index[16];
  MDB_val at = {sizeof index, index};
  if (!r->expires_ms) return 0;
  mg_expiry_key(index, r->expires_ms, r->version);
  int rc = mdb_del(txn, e->expiry, &at, NULL);
  return rc == MDB_NOTFOUND ? 0 : rc;
}

int mg_remove(struct mg_env *e, MDB_txn *txn, MDB_val key, const mcpgw_record *r) {
  int rc = unindex(e, txn, r);
  return rc ? rc : mdb_del(txn, e->records, &key, NULL);
}

static int put(struct mg_env *e, MDB_txn *txn, MDB_val key, mcpgw_record *r) {
  unsigned char index[16];
  MDB_val at = {sizeof index, index}, value = {mg_record_len(r), NULL};
  r->version = ++e->version;
  r->written_ms = mg_unix_ms();
  int rc = mdb_put(txn, e->records, &key, &value, MDB_RESERVE);
  if (rc) return rc;
  mg_record_encode(r, value.mv_data);
  if (!r->expires_ms) return 0;
  mg_expiry_key(index, r->expires_ms, r->version);
  return mdb_put(txn, e->expiry, &at, &key, 0);
}

/* The record that is in the way, kept for the callback: the page it stands on does not outlive the transaction. */
static int tell_existing(struct mg_op *op, const mcpgw_record *r) {
  mg_free(op->found);
  op->found = mg_alloc(r->key_len + r->value_len + 1);
  if (!op->found) return MCPGW_E_NOMEM;
  op->there = *r;
  memcpy(op->found, r->key, r->key_len);
  if (r->value_len) memcpy(op->found + r->key_len, r->value, r->value_len);
  op->there.key = op->found;
  op->there.value = r->value ? op->found + r->key_len : NULL;
  return MCPGW_E_EXISTS;
}

/* MCPGW_OK: it may be written; else what the callback is told. there: 0 none, 1 a record, -1 one we cannot read. */
static int decide(struct mg_op *op, int there, const mcpgw_record *r) {
  uint64_t wanted = op->wanted;
  switch (op->op) {
  case MCPGW_STORE_INSERT:
    return there ? tell_existing(op, r) : MCPGW_OK;
  case MCPGW_STORE_REPLACE:
    if (!there) return MCPGW_E_NOT_FOUND;
    return there < 0 || r->version != wanted ? tell_existing(op, r) : MCPGW_OK;
  case MCPGW_STORE_DELETE:
    if (!there) return MCPGW_E_NOT_FOUND;
    return wanted && (there < 0 || r->version != wanted) ? tell_existing(op, r) : MCPGW_OK;
  default:
    return MCPGW_OK;
  }
}

/* Two keys with one hash: what is there is somebody else's. Not to be expected in this universe's time. */
static int is_other(const mcpgw_record *there, const mcpgw_record *r) {
  return !mg_slice_eq(mg_slice(there->key, there->key_len), mg_slice(r->key, r->key_len));
}

int mg_apply(struct mg_env *e, MDB_txn *txn, struct mg_op *op) {
  struct mg_inner_key inner;
  mcpgw_record r;
  MDB_val value;
  mg_inner_key(&inner, op->record.kind, mg_slice(op->record.key, op->record.key_len));
  MDB_val key = {inner.len, inner.bytes};
  int there = 0, rc = mdb_get(txn, e->records, &key, &value);
  if (rc && rc != MDB_NOTFOUND) return rc;
  if (!rc) {
    there = mg_record_decode(key, value, &r) == MCPGW_OK && mg_record_intact(value) ? 1 : -1;
    if (there < 0) r = (mcpgw_record){.struct_size = sizeof r, .kind = op->record.kind, .key = op->record.key, .key_len = op->record.key_len};
    if (there > 0 && is_other(&r, &op->record)) {
      op->rc = MCPGW_E_INTERNAL;
      return 0;
    }
  }
  op->rc = decide(op, there, &r);
  if (op->rc != MCPGW_OK) return 0;
  if (!mg_care_room(e, op)) {
    op->rc = MCPGW_E_LIMIT;
    return 0;
  }
  if (op->op == MCPGW_STORE_DELETE) return mg_remove(e, txn, key, &r);
  if (there > 0 && (rc = unindex(e, txn, &r))) return rc;
  rc = put(e, txn, key, &op->record);
  e->used += mg_record_len(&op->record) + 64;
  return rc;
}
