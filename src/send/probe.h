/*-------------------------------------------------------------------------
 *
 * probe.h
 *		When failing endpoints are tried again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PROBE_H
#define WEBHOOK_PROBE_H

#include "send/endpoint.h"

/* Must be called once, before the others. */
extern void probe_init(MemoryContext context);

/*
 * Plan the endpoint's next probe, or none.  Must be called whenever it may have begun
 * or ceased to need one, or state.health.next_probe_at has changed.
 */
extern void probe_plan(Endpoint *endpoint);

/* The clock has been set back by this time: shift all probes accordingly. */
extern void probe_clock_set_back(int64 microseconds);

/* The endpoint whose probe is due first, NULL if none is.  It remains planned until probe_plan(). */
extern Endpoint *probe_first_due(TimestampTz now);

/* When the next one is due; DT_NOEND: never. */
extern TimestampTz probe_next_event(void);

#endif							/* WEBHOOK_PROBE_H */
