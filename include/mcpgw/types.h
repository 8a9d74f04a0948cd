/* <mcpgw/types.h>: result codes and the words every other header uses.
 *
 * Conventions of all headers: [any] may be called from any thread, [owner] only from the thread that
 * owns the gateway at that time, [cb] also from inside a callback of the library. Strings are (ptr,len)
 * in UTF-8 and need no NUL. OWNED: the receiver frees it; BORROWED: valid until what is named; COPIED:
 * the caller may free it at once. On failure outputs are untouched. */
#ifndef MCPGW_TYPES_H
#define MCPGW_TYPES_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define MCPGW_BEGIN extern "C" {
#define MCPGW_END }
#else
#define MCPGW_BEGIN
#define MCPGW_END
#endif
#if defined(__GNUC__)
#define MCPGW_API __attribute__((visibility("default")))
#else
#define MCPGW_API
#endif

/* Result codes. 0 is success, all failures are negative. */
#define MCPGW_OK 0
#define MCPGW_E_INVALID (-1)     /* a bad argument */
#define MCPGW_E_NOMEM (-2)       /* out of memory */
#define MCPGW_E_INTERNAL (-3)    /* a fault of the library */
#define MCPGW_E_STATE (-4)       /* not now: wrong state, wrong process after a fork */
#define MCPGW_E_CONFIG (-5)      /* the configuration is wrong; the handle's error text says where */
#define MCPGW_E_IO (-6)          /* the system refused: socket, file, process */
#define MCPGW_E_LIMIT (-7)       /* a ceiling was reached */
#define MCPGW_E_NOT_FOUND (-8)   /* no such thing */
#define MCPGW_E_EXISTS (-9)      /* already there */
#define MCPGW_E_AGAIN (-10)      /* nothing there yet; come back */
#define MCPGW_E_PARSE (-11)      /* malformed input */
#define MCPGW_E_TIMEOUT (-12)    /* a deadline passed */
#define MCPGW_E_CLOSED (-13)     /* the other side is gone */
#define MCPGW_E_DENIED (-14)     /* refused by a rule */
#define MCPGW_E_UNSUPPORTED (-15) /* not in this build, revision or peer */

MCPGW_BEGIN
/* [any] A short English phrase for a result code; never NULL. BORROWED for ever. */
MCPGW_API const char *mcpgw_strerror(int code);
MCPGW_END
#endif
