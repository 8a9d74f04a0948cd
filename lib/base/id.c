/* base/id: random ids, base64 in both alphabets, UTF-8 validation. Decoding is strict so that a text
 * has one meaning; must never be used on secrets whose bytes an attacker may time. */
#include "base/id.h"

#include <string.h>

#include "base/clock.h"
#include "mcpgw/types.h"

int mg_id_new(char out[MG_ID_LEN + 1]) {
  static const char hex[] = "0123456789abcdef";
  unsigned char raw[MG_ID_LEN / 2];
  int rc = mg_random(raw, sizeof raw);
  if (rc != MCPGW_OK) return rc;
  for (size_t i = 0; i < sizeof raw; i++) {
    out[2 * i] = hex[raw[i] >> 4];
    out[2 * i + 1] = hex[raw[i] & 15];
  }
  out[MG_ID_LEN] = '\0';
  return MCPGW_OK;
}

static const char alphabets[2][65] = {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
                                      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"};

int mg_base64_encode(struct mg_buf *out, struct mg_slice in, int url) {
  const char *abc = alphabets[url != 0];
  const unsigned char *p = (const unsigned char *)in.ptr;
  if (in.len > SIZE_MAX / 2) return MCPGW_E_LIMIT;
  int rc = mg_buf_reserve(out, (in.len + 2) / 3 * 4);
  if (rc != MCPGW_OK) return rc;
  char *o = out->ptr + out->len;
  size_t left = in.len;
  for (; left >= 3; left -= 3, p += 3) {
    *o++ = abc[p[0] >> 2];
    *o++ = abc[(p[0] & 3) << 4 | p[1] >> 4];
    *o++ = abc[(p[1] & 15) << 2 | p[2] >> 6];
    *o++ = abc[p[2] & 63];
  }
  if (left) {
    unsigned second = left == 2 ? p[1] : 0;
    *o++ = abc[p[0] >> 2];
    *o++ = abc[(p[0] & 3) << 4 | second >> 4];
    if (left == 2) *o++ = abc[(second & 15) << 2];
    for (size_t pad = left; !url && pad < 3; pad++) *o++ = '=';
  }
  if (in.len) out->len = (size_t)(o - out->ptr);
  return MCPGW_OK;
}

static int digit(char c, int url) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == (url ? '-' : '+')) return 62;
  if (c == (url ? '_' : '/')) return 63;
  return -1;
}

/* Strips the padding base64 must have; 0 when it is not as it must be. */
static int strip_padding(struct mg_slice *in, int url) {
  if (!url) {
    if (in->len % 4) return 0;
    for (int i = 0; i < 2 && in->len && in->ptr[in->len - 1] == '='; i++) in->len--;
  }
  return in->len % 4 != 1;
}

int mg_base64_decode(struct mg_buf *out, struct mg_slice in, int url) {
  size_t before = out->len;
  uint32_t acc = 0;
  int bits = 0;
  if (!strip_padding(&in, url)) return MCPGW_E_PARSE;
  int rc = mg_buf_reserve(out, in.len / 4 * 3 + in.len % 4 * 3 / 4);
  if (rc != MCPGW_OK) return rc;
  for (size_t i = 0; i < in.len; i++) {
    int d = digit(in.ptr[i], url);
    if (d < 0) goto bad;
    acc = acc << 6 | (uint32_t)d;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out->ptr[out->len++] = (char)(acc >> bits);
  }
  if (acc & ((1u << bits) - 1)) goto bad;
  return MCPGW_OK;
bad:
  out->len = before;
  return MCPGW_E_PARSE;
}

/* The length of the valid sequence at p, 0 when there is none (RFC 3629: no overlong form, no
 * surrogate, nothing above U+10FFFF). */
static size_t sequence(const unsigned char *p, size_t left) {
  unsigned char low = 0x80, high = 0xBF;
  size_t n = 0;
  if (p[0] < 0x80) return 1;
  if (p[0] >= 0xC2 && p[0] <= 0xDF) n = 2;
  if (p[0] >= 0xE0 && p[0] <= 0xEF) n = 3;
  if (p[0] >= 0xF0 && p[0] <= 0xF4) n = 4;
  if (n == 0 || n > left) return 0;
  if (p[0] == 0xE0) low = 0xA0;
  if (p[0] == 0xED) high = 0x9F;
  if (p[0] == 0xF0) low = 0x90;
  if (p[0] == 0xF4) high = 0x8F;
  if (p[1] < low || p[1] > high) return 0;
  for (size_t i = 2; i < n; i++)
    if ((p[i] & 0xC0) != 0x80) return 0;
  return n;
}

int mg_utf8_valid(struct mg_slice s) {
  const unsigned char *p = (const unsigned char *)s.ptr;
  for (size_t i = 0; i < s.len;) {
    uint64_t eight;
    if (s.len - i >= sizeof eight) {
      memcpy(&eight, p + i, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        i += sizeof eight;
        continue;
      }
    }
    size_t n = sequence(p + i, s.len - i);
    if (n == 0) return 0;
    i += n;
  }
  return 1;
}
