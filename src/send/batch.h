/*-------------------------------------------------------------------------
 *
 * batch.h
 *		Deliveries that share a request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_BATCH_H
#define WEBHOOK_BATCH_H

#include "send/delivery.h"
#include "send/request.h"

/* Deliveries that have been chosen for the next request, in the order of the log. */
typedef struct Batch
{
	Delivery  **deliveries;
	RequestBatch content;		/* a message of each */
} Batch;

/*
 * Choose the deliveries that share a request with this one, which must be ready; it
 * alone if its endpoint has no batches.  Held deliveries that their transform has
 * dropped are finished.  The result is allocated in the current memory context and
 * refers to the deliveries.
 */
extern void batch_choose(Batch *batch, Delivery *delivery);

/*
 * The request has been built from the first content.n messages of the batch.  Their
 * deliveries enter PHASE_SENDING; the last one of each key becomes its holder.
 */
extern void batch_start(const Batch *batch, Request *request, TimestampTz now);

/*
 * The request has ended: queue its deliveries again, in their order, before all
 * others of the endpoint.  The first one of each key becomes its holder.  The caller
 * releases the request.
 */
extern void batch_send_again(const Request *request);

/*
 * The same for smaller batches, since the receiver has refused the request.  If
 * too_large, it was its size; otherwise one of the messages may be at fault.
 */
extern void batch_split(const Request *request, bool too_large);

#endif							/* WEBHOOK_BATCH_H */
