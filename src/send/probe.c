/*-------------------------------------------------------------------------
 *
 * probe.c
 *		When failing endpoints are tried again.
 *
 * An endpoint that is failing is sent one delivery at a time, its probe, which
 * recall.c reads from the table when it is due.  The endpoint is in this queue while
 * none of its deliveries in memory is a probe; attempt.c decides by the result.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/pairingheap.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "send/attempt_log.h"
#include "send/probe.h"

static pairingheap *probe_queue;	/* of Endpoint, by next_probe_at */
static int64 probe_set_back;	/* for probe_shift() */


static int
probe_compare(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	int64		x = pairingheap_const_container(Endpoint, state.probe_node, a)->state.health.next_probe_at;
	int64		y = pairingheap_const_container(Endpoint, state.probe_node, b)->state.health.next_probe_at;

	return x < y ? 1 : x > y ? -1 : 0;
}

void
probe_init(MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	probe_queue = pairingheap_allocate(probe_compare, NULL);
	MemoryContextSwitchTo(old);
}

void
probe_plan(Endpoint *endpoint)
{
	if (endpoint->state.in_probe_queue)
		pairingheap_remove(probe_queue, &endpoint->state.probe_node);
	endpoint->state.in_probe_queue = endpoint_is_sendable(endpoint) && endpoint->state.health.failing &&
		!endpoint->state.probing;
	if (endpoint->state.in_probe_queue)
		pairingheap_add(probe_queue, &endpoint->state.probe_node);
}

/* All are shifted alike, so the heap remains in order.  More than a second is worth a write. */
static void
probe_shift(Endpoint *endpoint)
{
	if (!endpoint->state.health.failing)
		return;
	endpoint->state.health.next_probe_at -= probe_set_back;
	if (probe_set_back > USECS_PER_SEC)
		attempt_log_mark_health(endpoint);
}

void
probe_clock_set_back(int64 microseconds)
{
	probe_set_back = microseconds;
	endpoint_foreach(probe_shift);
}

static Endpoint *
probe_first(void)
{
	return pairingheap_is_empty(probe_queue) ? NULL :
		pairingheap_container(Endpoint, state.probe_node, pairingheap_first(probe_queue));
}

Endpoint *
probe_first_due(TimestampTz now)
{
	Endpoint   *endpoint = probe_first();

	return endpoint != NULL && endpoint->state.health.next_probe_at <= now ? endpoint : NULL;
}

TimestampTz
probe_next_event(void)
{
	Endpoint   *endpoint = probe_first();

	return endpoint != NULL ? endpoint->state.health.next_probe_at : DT_NOEND;
}
