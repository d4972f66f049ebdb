/*-------------------------------------------------------------------------
 *
 * xid_set.c
 *		The set of transactions that had ended at some moment.
 *
 * Equivalent to a snapshot, but with 64-bit transaction ids, so that it can be
 * stored and compared with later ones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "log/xid_set.h"

static int
xid_set_compare_uint64(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

bool
xid_set_contains(const XidSet *ended, uint64 xid)
{
	if (xid < ended->xmin)
		return true;
	if (xid >= ended->xmax)
		return false;
	return bsearch(&xid, ended->running, ended->nrunning, sizeof(uint64), xid_set_compare_uint64) == NULL;
}

static XidSet *
xid_set_create(uint64 xmin, uint64 xmax, int nrunning, MemoryContext context)
{
	XidSet	   *ended = MemoryContextAlloc(context, sizeof(XidSet) + nrunning * sizeof(uint64));

	ended->references = 1;
	ended->xmin = xmin;
	ended->xmax = xmax;
	ended->nrunning = nrunning;
	ended->running = (uint64 *) (ended + 1);
	return ended;
}

XidSet *
xid_set_reference(XidSet *ended)
{
	Assert(ended->references > 0);
	ended->references++;
	return ended;
}

void
xid_set_release(XidSet *ended)
{
	Assert(ended == NULL || ended->references > 0);
	if (ended != NULL && --ended->references == 0)
		pfree(ended);
}

static uint64
xid_set_widen(TransactionId xid, FullTransactionId next)
{
	return U64FromFullTransactionId(next) - (uint32) (XidFromFullTransactionId(next) - xid);
}

/*
 * Rows are read with the same snapshot: a window must not contain transactions that
 * its scans cannot see.  A transaction that is just being prepared may be in the
 * snapshot twice.
 */
XidSet *
xid_set_now(void)
{
	Snapshot	snapshot = GetActiveSnapshot();
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId own = GetTopTransactionIdIfAny();
	XidSet	   *ended = xid_set_create(xid_set_widen(snapshot->xmin, next), xid_set_widen(snapshot->xmax, next),
									   snapshot->xcnt + 1, TopMemoryContext);
	int			n = 0;
	int			kept = 0;

	for (uint32 i = 0; i < snapshot->xcnt; i++)
		ended->running[n++] = xid_set_widen(snapshot->xip[i], next);
	if (TransactionIdIsValid(own) && xid_set_widen(own, next) < ended->xmax)
		ended->running[n++] = xid_set_widen(own, next);
	qsort(ended->running, n, sizeof(uint64), xid_set_compare_uint64);
	for (int i = 0; i < n; i++)
		if (kept == 0 || ended->running[i] != ended->running[kept - 1])
			ended->running[kept++] = ended->running[i];
	ended->nrunning = kept;
	if (kept > 0 && ended->running[0] < ended->xmin)
		ended->xmin = ended->running[0];
	Assert(ended->xmin <= ended->xmax);
	Assert(kept == 0 || ended->running[kept - 1] < ended->xmax);
	return ended;
}

/* To and from the text form of pg_snapshot, "xmin:xmax:xid,xid,...". */
Datum
xid_set_to_datum(const XidSet *ended)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, UINT64_FORMAT ":" UINT64_FORMAT ":", ended->xmin, ended->xmax);
	for (int i = 0; i < ended->nrunning; i++)
		appendStringInfo(&buf, "%s" UINT64_FORMAT, i > 0 ? "," : "", ended->running[i]);
	return DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(buf.data));
}

XidSet *
xid_set_from_datum(Datum value, MemoryContext context)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(pg_snapshot_out, value));
	char	   *p = text;
	int			n = *text ? 1 : 0;
	uint64		xmin;
	uint64		xmax;
	XidSet	   *ended;

	for (char *c = text; *c; c++)
		n += (*c == ',');
	xmin = strtoull(p, &p, 10);
	xmax = strtoull(p + 1, &p, 10);
	ended = xid_set_create(xmin, xmax, n, context);
	ended->nrunning = 0;
	for (p++; *p; p += (*p == ','))
		ended->running[ended->nrunning++] = strtoull(p, &p, 10);
	return ended;
}

bool
xid_set_same(const XidSet *a, const XidSet *b)
{
	return a->xmax == b->xmax && a->nrunning == b->nrunning &&
		memcmp(a->running, b->running, a->nrunning * sizeof(uint64)) == 0;
}
