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
 * Choose deliveries for one request with this one, which is ready: it alone if
 * its endpoint has no batches.  In the current memory context.
 */
extern void batch_choose(Batch *batch, Delivery *delivery);

/* The request has been built from the first messages of the batch: it is sent for their deliveries, now. */
extern void batch_start(const Batch *batch, Request *request, TimestampTz now);

/* The same deliveries are to be sent again, in their order. */
extern void batch_send_again(const Request *request);

/*
 * The receiver has refused a request: send its deliveries again before all
 * others, in smaller batches.  too_large: it is the size that was refused;
 * otherwise one of the messages may be at fault.
 */
extern void batch_split(const Request *request, bool too_large);

#endif							/* WEBHOOK_BATCH_H */
