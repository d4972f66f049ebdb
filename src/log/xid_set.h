/*-------------------------------------------------------------------------
 *
 * xid_set.h
 *		The set of transactions that had ended at some moment.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_XID_SET_H
#define WEBHOOK_XID_SET_H

/* A set of transactions, in 64-bit transaction ids; reference-counted. */
typedef struct XidSet
{
	int			references;
	uint64		xmin;			/* all lower ones are in the set */
	uint64		xmax;			/* this and higher ones are not */
	int			nrunning;
	uint64	   *running;		/* those in between that are not, in ascending
								 * order */
} XidSet;

/*
 * The transactions that have ended according to the active snapshot.  Contains
 * top-level transactions only, and never our own.  Allocated in TopMemoryContext, with
 * one reference.
 */
extern XidSet *xid_set_now(void);

/* Add a reference, or release one; the set is freed with the last.  NULL may be released. */
extern XidSet *xid_set_reference(XidSet *ended);
extern void xid_set_release(XidSet *ended);

extern bool xid_set_contains(const XidSet *ended, uint64 xid);
extern bool xid_set_same(const XidSet *a, const XidSet *b);

/* Convert to and from pg_snapshot; the set is allocated in this memory context, with one reference. */
extern Datum xid_set_to_datum(const XidSet *ended);
extern XidSet *xid_set_from_datum(Datum value, MemoryContext context);

#endif							/* WEBHOOK_XID_SET_H */
