/*-------------------------------------------------------------------------
 *
 * partitions.h
 *		Using the partitions of the outbox in turn.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PARTITIONS_H
#define WEBHOOK_PARTITIONS_H

#include "server/shmem.h"

/*
 * Seal, empty and change partitions as far as that is possible without
 * waiting.  In a transaction with SPI connected and an active snapshot.
 */
extern void partitions_turn(DatabaseSlot *slot);

/* Did the last turn leave something to do?  Then the next one should not wait for further messages. */
extern bool partitions_unfinished(void);

/* To be called when the transaction of partitions_turn() has committed. */
extern void partitions_publish(DatabaseSlot *slot);

#endif							/* WEBHOOK_PARTITIONS_H */
