/* loop/sigpipe: no SIGPIPE reaches the host because of us. enter blocks it in the calling thread, leave
 * takes away one that came meanwhile and restores the mask. mg_loop_run does this by itself; a door
 * that writes to sockets outside of a turn (libcurl, say) does it by hand. Pairs may nest. */
#ifndef MG_LOOP_SIGPIPE_H
#define MG_LOOP_SIGPIPE_H

struct mg_sigpipe {
  int was_blocked; /* the host had it blocked: leave it so */
  int was_pending; /* and one was waiting already: it is the host's, leave it there */
};
void mg_sigpipe_enter(struct mg_sigpipe *s);
void mg_sigpipe_leave(const struct mg_sigpipe *s);
#endif
