/* store/short: owns what becomes of a data file that ends before the last page its head knows of. To read such a page
 * through the map is SIGBUS, the end of the whole host. Most often nothing is wrong: pages that one transaction took
 * and gave back are never written. So they are written here, in a form that LMDB takes for a fault of the file, should
 * one of them be needed after all. Must never write a page that is there. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/priv.h"

#define MISSING_MAX ((uint64_t)64 << 20) /* more than one transaction leaves out */
#define PAGE_META 0x08u                  /* neither branch nor leaf */

struct page_head { /* LMDB's, version 1 of its format */
  size_t number;
  uint16_t pad, flags;
};

/* What is missing, in bytes. */
static uint64_t missing(MDB_env *mdb, int fd, uint64_t *from, uint64_t *page) {
  MDB_envinfo info;
  MDB_stat ms;
  struct stat st;
  if (mdb_env_info(mdb, &info) || mdb_env_stat(mdb, &ms) || fstat(fd, &st) != 0) return 0;
  uint64_t need = ((uint64_t)info.me_last_pgno + 1) * ms.ms_psize;
  *page = ms.ms_psize;
  *from = (uint64_t)st.st_size / *page;
  return (uint64_t)st.st_size < need ? need - *from * *page : 0;
}

int mg_short_fill(MDB_env *mdb, int fd) {
  uint64_t page, number, left = missing(mdb, fd, &number, &page);
  if (!left) return 0;
  if (left > MISSING_MAX || left % page) return MDB_CORRUPTED;
  unsigned char *bytes = mg_calloc(1, (size_t)page);
  int rc = bytes ? 0 : ENOMEM;
  for (; !rc && left; left -= page, number++) {
    struct page_head head = {.number = (size_t)number, .flags = PAGE_META};
    memcpy(bytes, &head, sizeof head);
    ssize_t n = pwrite(fd, bytes, (size_t)page, (off_t)(number * page));
    if (n != (ssize_t)page) rc = n < 0 ? errno : ENOSPC;
  }
  mg_free(bytes);
  return rc;
}

/* Whoever writes has the lock of the write transaction, and only then does it look again. */
int mg_short_fill_live(MDB_env *mdb) {
  uint64_t page, number;
  MDB_txn *txn;
  int fd, rc = mdb_env_get_fd(mdb, &fd);
  if (rc || !missing(mdb, fd, &number, &page)) return rc;
  rc = mdb_txn_begin(mdb, NULL, 0, &txn);
  if (rc) return rc;
  rc = mg_short_fill(mdb, fd);
  mdb_txn_abort(txn);
  return rc;
}
