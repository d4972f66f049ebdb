/*-------------------------------------------------------------------------
 *
 * mux.h
 *		Many sockets and a timer behind one file descriptor.
 *
 * Independent of HTTP, libcurl and PostgreSQL.  The sockets belong to the caller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_MUX_H
#define WEBHOOK_MUX_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Mux Mux;

/* Events that a socket is watched for, and that are reported. */
#define MUX_READ	0x01
#define MUX_WRITE	0x02
#define MUX_ERROR	0x04		/* reported only */

typedef struct MuxEvent
{
	int			fd;
	int			what;
} MuxEvent;

/* Returns NULL on failure, with errno set. */
extern Mux *mux_create(void);
extern void mux_destroy(Mux *mux);

/* Readable as soon as mux_poll() has something to report. */
extern int	mux_fd(const Mux *mux);

/*
 * Announce a socket that has just been opened, before it is watched, and one that is
 * about to be closed.  Other sockets may be watched, too, but then every change takes
 * a system call.  Returns false if out of memory.
 */
extern bool mux_opened(Mux *mux, int fd);
extern void mux_closed(Mux *mux, int fd);

/*
 * From now on the peer of this announced socket must not send anything while it is
 * not watched.  If it does, mux_poll() shuts the socket down, so that its next user
 * finds it closed and cannot take those bytes for a response.
 */
extern void mux_expect_silence(Mux *mux, int fd);

/* Watch fd for MUX_READ, MUX_WRITE or both; 0 stops watching.  Returns false on failure. */
extern bool mux_watch(Mux *mux, int fd, int what);

/* Fetch at most max events of watched sockets, without waiting.  Returns their number. */
extern int	mux_poll(Mux *mux, MuxEvent *events, int max);

/*
 * Shut down the announced sockets that are not watched.  Their next user finds them
 * closed.
 */
extern void mux_shutdown_idle(Mux *mux);

/* The monotonic clock, in microseconds. */
extern int64_t mux_now_us(void);

/* Set the timer, relative to now; negative disables it. */
extern void mux_set_timer(Mux *mux, long milliseconds);
extern long mux_timer_left(const Mux *mux); /* milliseconds, rounded up; -1:
											 * none */

#endif							/* WEBHOOK_MUX_H */
