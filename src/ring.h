/*-------------------------------------------------------------------------
 *
 * ring.h
 *		Using the partitions of the outbox in turn.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_RING_H
#define WEBHOOK_RING_H

#include "shmem.h"

/*
 * Seal, empty and change partitions as far as that is possible without
 * waiting.  In a transaction with SPI connected and an active snapshot.
 */
extern void ring_turn(DatabaseSlot *slot);

/* Did the last turn leave something to do?  Then the next one should not wait for further messages. */
extern bool ring_unfinished(void);

/* To be called when the transaction of ring_turn() has committed. */
extern void ring_publish(DatabaseSlot *slot);

#endif							/* WEBHOOK_RING_H */
