/*-------------------------------------------------------------------------
 *
 * capture.h
 *		From a changed row to a message in the outbox.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CAPTURE_H
#define WEBHOOK_CAPTURE_H

extern void capture_init(void);

#endif							/* WEBHOOK_CAPTURE_H */
