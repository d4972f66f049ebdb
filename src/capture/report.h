/*-------------------------------------------------------------------------
 *
 * report.h
 *		The messages that a change makes, for each audience of its table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_REPORT_H
#define WEBHOOK_REPORT_H

#include "capture/change.h"

/* Append the messages of a change of a row. */
extern void report_change(Change *change);

/*
 * The same for an existing row, as if it had just been created, for the webhook
 * change->only; integrated: does that belong to an integration?
 */
extern void report_existing(Change *change, bool integrated);

/* The same when the payment of this row has changed, though the row has not. */
extern void report_payment(Change *change);

#endif							/* WEBHOOK_REPORT_H */
