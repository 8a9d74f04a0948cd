/* wire/era: owns the list of revisions and the one table that maps reasons to codes and codes to HTTP
 * statuses. Constant data only. */
#include "wire/era.h"

static const char *const names[] = {"", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"};

int mg_revision_parse(struct mg_slice text) {
  for (int i = 1; i <= MG_REV_2026_07_28; i++)
    if (mg_slice_eqz(text, names[i])) return i;
  return MG_REV_NONE;
}

const char *mg_revision_name(int revision) {
  return revision > 0 && revision <= MG_REV_2026_07_28 ? names[revision] : "";
}

int mg_revision_is_modern(int revision) {
  return revision >= MG_REV_2026_07_28;
}

int mg_revision_has_batches(int revision) {
  return revision == MG_REV_2025_03_26;
}

int mg_revision_resumes(int revision) {
  return revision == MG_REV_2025_11_25;
}

int mg_revision_list(struct mg_buf *out, int modern, int legacy) {
  const char *sep = "[\"";
  for (int i = MG_REV_2026_07_28; i >= MG_REV_2024_11_05; i--) {
    if (!(mg_revision_is_modern(i) ? modern : legacy)) continue;
    mg_buf_addz(out, sep);
    mg_buf_addz(out, names[i]);
    sep = "\",\"";
  }
  return mg_buf_addz(out, sep[0] == '[' ? "[]" : "\"]");
}

static const struct {
  int code;
  const char *name;
} reasons[MG_WHY_COUNT] = {
    [MG_WHY_POLICY_DENIED] = {-31001, "POLICY_DENIED"},
    [MG_WHY_UPSTREAM_UNAVAILABLE] = {-31002, "UPSTREAM_UNAVAILABLE"},
    [MG_WHY_UPSTREAM_TIMEOUT] = {-31003, "UPSTREAM_TIMEOUT"},
    [MG_WHY_OUTCOME_UNKNOWN] = {-31004, "OUTCOME_UNKNOWN"},
    [MG_WHY_IDEMPOTENCY_CONFLICT] = {-31005, "IDEMPOTENCY_CONFLICT"},
    [MG_WHY_OVERLOADED] = {-31006, "OVERLOADED"},
    [MG_WHY_STATE_LOST] = {-31007, "STATE_LOST"},
    [MG_WHY_CONTEXT_ENDED] = {-31008, "CONTEXT_ENDED"},
    [MG_WHY_PAYLOAD_TOO_LARGE] = {-31009, "PAYLOAD_TOO_LARGE"},
    [MG_WHY_UPSTREAM_PROTOCOL] = {-31010, "UPSTREAM_PROTOCOL"},
};

int mg_reason_code(int reason) {
  return reason > 0 && reason < MG_WHY_COUNT ? reasons[reason].code : MG_RPC_INTERNAL;
}

const char *mg_reason_name(int reason) {
  return reason > 0 && reason < MG_WHY_COUNT ? reasons[reason].name : "INTERNAL";
}

int mg_code_status(int code, int modern) {
  switch (code) {
  case MG_RPC_PARSE:
  case MG_RPC_REQUEST: return 400;
  case MG_RPC_HEADERS:
  case MG_RPC_CAPABILITY:
  case MG_RPC_VERSION: return modern ? 400 : 200;
  case MG_RPC_METHOD: return modern ? 404 : 200;
  default: return 200;
  }
}
