/*-------------------------------------------------------------------------
 *
 * replay_run.h
 *		How far a replay is, in the worker's memory and in webhook.backfill.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_REPLAY_RUN_H
#define WEBHOOK_REPLAY_RUN_H

#include "lib/ilist.h"

#include "send/endpoint.h"

/* A replay of an active webhook; it has one at a time. */
typedef struct ReplayRun
{
	Endpoint   *endpoint;		/* stays in memory for it */
	int64		job;
	char	   *snapshot;		/* what is visible in it is sent; it goes to
								 * the history first.  NULL: not known yet */
	int			partition;		/* of the outbox, of which that is being moved */
	bool		begun;			/* has that been done? */
	int64		read;			/* ids up to this one have been read */
	bool		end;			/* there are no more */
	bool		held;			/* may there be deliveries that wait for it? */
	bool		unsure;			/* do deliveries wait for it because the
								 * history was locked? */
	bool		locked;			/* a session has locked the row, or the
								 * history: wait */
	bool		listed;
	struct HTAB *keys;			/* of ReplayKey, or NULL */
	dlist_head	entries;		/* of ReplayEntry, by id: what has been read
								 * and is not finished, or follows such */
	int			in_memory;		/* those that are not finished */
	Size		bytes;			/* of these */
	int64		sent;
	int64		saved_to;		/* as stored */
	int64		saved_sent;
} ReplayRun;

/*
 * Load the replays of all active webhooks; those that have ended or pause are given to
 * the callback, and removed.  This and all functions below that read or write the table
 * must be called in a transaction with SPI connected.
 */
extern void replay_run_load(void (*gone) (Endpoint *endpoint));

/* Call back for each of them. */
extern void replay_run_foreach(void (*callback) (ReplayRun *run));
extern int	replay_run_count(void);

/* The one that was called back first comes last from now on. */
extern void replay_run_rotate(void);

/* Must a live message with this order key wait for the replay of its entity? */
extern bool replay_run_holds(const Endpoint *endpoint, int64 order_key, const Message *message);

/* How many of the endpoint's deliveries in memory are replayed? */
extern int	replay_run_in_memory(const Endpoint *endpoint);

/* Note that this message is in memory; false if it is noted already, finished or not. */
extern bool replay_run_add(ReplayRun *run, const Message *message);

/* The message is finished, or stored in the delivery table; or it has left memory, and must be read again. */
extern void replay_run_finish(Endpoint *endpoint, int64 id);
extern void replay_run_put_back(Endpoint *endpoint, int64 id);

/*
 * Store the snapshot, a pg_snapshot; begin to read; end.  False if the row cannot be
 * locked, or the replay has ended.
 */
extern bool replay_run_take_snapshot(ReplayRun *run, Datum snapshot);
extern bool replay_run_begin(ReplayRun *run);
extern bool replay_run_end(ReplayRun *run, const char *phase, const char *error);

/* Is there a position to be saved; save those. */
extern bool replay_run_unsaved(void);
extern void replay_run_save(void);

#endif							/* WEBHOOK_REPLAY_RUN_H */
