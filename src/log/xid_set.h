/*-------------------------------------------------------------------------
 *
 * xid_set.h
 *		Which transactions had ended at some moment.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_XID_SET_H
#define WEBHOOK_XID_SET_H

/* A set of transactions, in 64-bit transaction ids; reference-counted. */
typedef struct XidSet
{
	int			references;
	uint64		xmin;			/* all below have */
	uint64		xmax;			/* none from here on has */
	int			nrunning;
	uint64	   *running;		/* of those between, sorted, the ones that had not */
} XidSet;

/*
 * What has ended for the active snapshot.  Only top-level transactions; our own
 * does not count as ended.
 */
extern XidSet *xid_set_now(void);

extern XidSet *xid_set_reference(XidSet *ended);
extern void xid_set_release(XidSet *ended);	/* NULL is fine */

extern bool xid_set_contains(const XidSet *ended, uint64 xid);
extern bool xid_set_same(const XidSet *a, const XidSet *b);

/* To and from pg_snapshot. */
extern Datum xid_set_to_datum(const XidSet *ended);
extern XidSet *xid_set_from_datum(Datum value);

#endif							/* WEBHOOK_XID_SET_H */
