/*-------------------------------------------------------------------------
 *
 * mux.h
 *		Many sockets and a timer behind one file descriptor.
 *
 * Knows nothing of HTTP, libcurl or PostgreSQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_MUX_H
#define WEBHOOK_MUX_H

#include <stdbool.h>

typedef struct Mux Mux;

/* What a socket is watched for, and what has happened to it. */
#define MUX_READ	0x01
#define MUX_WRITE	0x02
#define MUX_ERROR	0x04		/* reported only */

typedef struct MuxEvent
{
	int			fd;
	int			what;
} MuxEvent;

/* NULL when the kernel or malloc says no; errno tells. */
extern Mux *mux_create(void);
extern void mux_destroy(Mux *mux);

/* Readable as soon as mux_poll() has something to report. */
extern int	mux_fd(const Mux *mux);

/*
 * Announce a socket that has just been opened, before it is watched, and one
 * that is about to be closed.  Others may be watched without being announced, at the
 * price of a system call for every change.  false: out of memory.
 */
extern bool mux_opened(Mux *mux, int fd);
extern void mux_closed(Mux *mux, int fd);

/*
 * From now on the peer of this announced socket must not send anything while
 * nobody watches it.  If it does, mux_poll() shuts the socket down: whoever uses
 * it next finds it closed and cannot take those bytes for an answer.
 */
extern void mux_expect_silence(Mux *mux, int fd);

/* Watch fd for what (MUX_READ, MUX_WRITE, both, or 0: no longer). */
extern bool mux_watch(Mux *mux, int fd, int what);

/* Fetch at most max events, without waiting.  Returns how many. */
extern int	mux_poll(Mux *mux, MuxEvent *events, int max);

/*
 * Shut down the announced sockets that nobody watches at the moment.  Whoever
 * keeps them for later use finds them closed by the other side.
 */
extern void mux_shutdown_idle(Mux *mux);

/* One timer, relative to now; negative: none.  Setting it replaces the one before. */
extern void mux_set_timer(Mux *mux, long milliseconds);
extern long mux_timer_left(const Mux *mux); /* milliseconds, rounded up; -1: none */

#endif							/* WEBHOOK_MUX_H */
