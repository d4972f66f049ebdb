/*-------------------------------------------------------------------------
 *
 * egress.h
 *		Whether requests can leave: the state of the proxy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_EGRESS_H
#define WEBHOOK_EGRESS_H

#include "http/http.h"
#include "send/endpoint.h"
#include "server/shmem.h"

extern void egress_init(Http *http, DatabaseSlot *slot);

/*
 * The settings may have changed: use the proxy that they name.  Returns true if deliveries
 * have been waiting for another one.
 */
extern bool egress_reload(void);

/*
 * Must an endpoint wait because its requests, or those for the token that it lacks, go
 * through a proxy that does not work?
 */
extern bool egress_holds(Endpoint *endpoint);

/*
 * To be called for every finished request.  Returns true if the proxy has been found not to
 * work, so that what is in memory must be put aside.
 */
extern bool egress_note(const HttpResult *result, TimestampTz now);

/*
 * Try whether the proxy works again, when it is time.  The result of that request has no
 * owner; egress_probed() returns true if it does.
 */
extern void egress_probe(TimestampTz now);
extern bool egress_probed(const HttpResult *result);
extern TimestampTz egress_next_probe(void); /* DT_NOEND: never */

/* In a transaction: write the notification that it does not work. */
extern TimestampTz egress_next_report(TimestampTz now);
extern void egress_report(TimestampTz now);

extern void egress_clock_set_back(TimestampTz now);

#endif							/* WEBHOOK_EGRESS_H */
