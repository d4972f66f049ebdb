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

extern void probe_init(MemoryContext context);

/* Whether the endpoint needs a probe, or the time of its next one, may have changed. */
extern void probe_plan(Endpoint *endpoint);

/* The clock has been set back by this time: shift all probes accordingly. */
extern void probe_clock_set_back(int64 microseconds);

/* The first endpoint whose probe is due; NULL: there is none. */
extern Endpoint *probe_first_due(TimestampTz now);

/* When the next one is due; DT_NOEND: never. */
extern TimestampTz probe_next_event(void);

#endif							/* WEBHOOK_PROBE_H */
