/*-------------------------------------------------------------------------
 *
 * ended.h
 *		Which transactions had ended at some moment.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ENDED_H
#define WEBHOOK_ENDED_H

/* A set of transactions, in 64-bit transaction ids; reference-counted. */
typedef struct Ended
{
	int			references;
	uint64		xmin;			/* all below have */
	uint64		xmax;			/* none from here on has */
	int			nrunning;
	uint64	   *running;		/* of those between, sorted, the ones that had not */
} Ended;

/*
 * What has ended for the active snapshot.  Only top-level transactions; our own
 * does not count as ended.
 */
extern Ended *ended_now(void);

extern Ended *ended_reference(Ended *ended);
extern void ended_release(Ended *ended);	/* NULL is fine */

extern bool ended_contains(const Ended *ended, uint64 xid);
extern bool ended_same(const Ended *a, const Ended *b);

/* To and from pg_snapshot. */
extern Datum ended_to_datum(const Ended *ended);
extern Ended *ended_from_datum(Datum value);

#endif							/* WEBHOOK_ENDED_H */
