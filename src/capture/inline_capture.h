/*-------------------------------------------------------------------------
 *
 * inline_capture.h
 *		Rows captured while the statement runs, without a trigger event.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_INLINE_CAPTURE_H
#define WEBHOOK_INLINE_CAPTURE_H

extern void inline_capture_init(void);

#endif							/* WEBHOOK_INLINE_CAPTURE_H */
