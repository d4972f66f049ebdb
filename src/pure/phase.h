/*-------------------------------------------------------------------------
 *
 * phase.h
 *		The phases of a delivery in memory, and how they follow each other.
 *
 * Pure: no backend state.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PHASE_H
#define WEBHOOK_PHASE_H

#include <stdbool.h>

typedef enum DeliveryPhase
{
	PHASE_NEW,					/* created, in no list yet */
	PHASE_HELD,					/* queued after another delivery with its
								 * order key */
	PHASE_PREPARING,			/* waits for its payload to be shaped and
								 * transformed */
	PHASE_READY,				/* waits for its endpoint's turn to send */
	PHASE_SENDING,				/* its request is in flight */
	PHASE_TO_WRITE,				/* waits for its row to be written */
	PHASE_GONE					/* about to be freed */
} DeliveryPhase;

#define PHASE_COUNT		(PHASE_GONE + 1)

/* The phase's name, as src/README.md has it. */
extern const char *phase_name(DeliveryPhase phase);

/* May a delivery go from one phase to the other? */
extern bool phase_may_follow(DeliveryPhase from, DeliveryPhase to);

#endif							/* WEBHOOK_PHASE_H */
