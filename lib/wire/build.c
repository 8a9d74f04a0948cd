/* wire/build: owns the text of the messages that the gateway writes itself. */
#include "wire/build.h"

#include <string.h>

static const char *const delivered_names[] = {"no", "yes", "unknown"};

static void build_data(struct mg_buf *out, const struct mg_fault *f) {
  mg_buf_addz(out, ",\"data\":{\"origin\":\"gateway\",\"reason\":\"");
  mg_buf_addz(out, mg_reason_name(f->reason));
  mg_buf_addc(out, '"');
  if (f->upstream) {
    mg_buf_addz(out, ",\"upstream\":");
    mg_buf_json_str(out, mg_slice_z(f->upstream));
  }
  if (f->delivered >= 0 && f->delivered <= 2) {
    mg_buf_addz(out, ",\"delivered\":\"");
    mg_buf_addz(out, delivered_names[f->delivered]);
    mg_buf_addc(out, '"');
  }
  if (f->retry_after_ms) {
    mg_buf_addz(out, ",\"retry_after_ms\":");
    mg_buf_addu(out, f->retry_after_ms);
  }
  if (f->limit) {
    mg_buf_addz(out, ",\"limit\":");
    mg_buf_json_str(out, mg_slice_z(f->limit));
    if (f->limit_ms) mg_buf_addz(out, ",\"limit_ms\":");
    if (f->limit_ms) mg_buf_addu(out, f->limit_ms);
  }
  mg_buf_addc(out, '}');
}

static void head(struct mg_buf *out, struct mg_slice id) {
  mg_buf_addz(out, "{\"jsonrpc\":\"2.0\",\"id\":");
  if (id.len) mg_buf_adds(out, id);
  else mg_buf_addz(out, "null");
}

int mg_build_error(struct mg_buf *out, struct mg_slice id, const struct mg_fault *f) {
  head(out, id);
  mg_buf_addz(out, ",\"error\":{\"code\":");
  mg_buf_addi(out, f->reason ? mg_reason_code(f->reason) : f->code);
  mg_buf_addz(out, ",\"message\":");
  mg_buf_json_str(out, mg_slice_z(f->text ? f->text : mg_reason_name(f->reason)));
  if (f->reason) {
    build_data(out, f);
  } else if (f->data.len) {
    mg_buf_addz(out, ",\"data\":");
    mg_buf_adds(out, f->data);
  }
  mg_buf_addz(out, "}}");
  return mg_buf_rc(out);
}

int mg_build_result(struct mg_buf *out, struct mg_slice id, struct mg_slice result) {
  head(out, id);
  mg_buf_addz(out, ",\"result\":");
  mg_buf_adds(out, result);
  mg_buf_addc(out, '}');
  return mg_buf_rc(out);
}

static void method_and_params(struct mg_buf *out, const char *method, struct mg_slice params) {
  mg_buf_addz(out, "\"method\":\"");
  mg_buf_addz(out, method);
  mg_buf_addc(out, '"');
  if (params.len) {
    mg_buf_addz(out, ",\"params\":");
    mg_buf_adds(out, params);
  }
  mg_buf_addc(out, '}');
}

int mg_build_notification(struct mg_buf *out, const char *method, struct mg_slice params) {
  mg_buf_addz(out, "{\"jsonrpc\":\"2.0\",");
  method_and_params(out, method, params);
  return mg_buf_rc(out);
}

int mg_build_request(struct mg_buf *out, uint64_t id, const char *method, struct mg_slice params) {
  mg_buf_addz(out, "{\"jsonrpc\":\"2.0\",\"id\":");
  mg_buf_addu(out, id);
  mg_buf_addc(out, ',');
  method_and_params(out, method, params);
  return mg_buf_rc(out);
}

int mg_build_cancelled(struct mg_buf *out, uint64_t id, struct mg_slice reason) {
  mg_buf_addz(out, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":");
  mg_buf_addu(out, id);
  if (reason.len) {
    mg_buf_addz(out, ",\"reason\":");
    mg_buf_adds(out, reason);
  }
  mg_buf_addz(out, "}}");
  return mg_buf_rc(out);
}

int mg_build_modern_meta(struct mg_buf *out, struct mg_slice client_info, struct mg_slice capabilities) {
  mg_buf_addz(out, "\"io.modelcontextprotocol/protocolVersion\":\"");
  mg_buf_addz(out, mg_revision_name(MG_REV_LATEST_MODERN));
  mg_buf_addz(out, "\",\"io.modelcontextprotocol/clientInfo\":");
  mg_buf_adds(out, client_info);
  mg_buf_addz(out, ",\"io.modelcontextprotocol/clientCapabilities\":");
  if (capabilities.len) mg_buf_adds(out, capabilities);
  else mg_buf_addz(out, "{}");
  return mg_buf_rc(out);
}
