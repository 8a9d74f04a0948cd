/* support/scratch: a directory of the test's own. */
#ifndef SUPPORT_SCRATCH_H
#define SUPPORT_SCRATCH_H

const char *scratch(void); /* a fresh one under TMPDIR; BORROWED until the next call. NULL: none could be made */
void scratch_done(void);   /* removes it with all that is in it */
void nap(unsigned ms);
#endif
