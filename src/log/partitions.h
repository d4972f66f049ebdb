/*-------------------------------------------------------------------------
 *
 * partitions.h
 *		Use the partitions of the outbox in turn.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PARTITIONS_H
#define WEBHOOK_PARTITIONS_H

#include "server/shmem.h"

/*
 * Seal and truncate partitions, and choose another one, as far as possible without
 * waiting.  Requires the worker's transaction, with SPI connected and an active
 * snapshot, after cursor_load().
 */
extern void partitions_recycle(DatabaseSlot *slot);

/* Did the last call leave work to do?  Then the next one should not wait for more messages. */
extern bool partitions_unfinished(void);

/*
 * Publish the partition that was chosen.  Must be called after the transaction of
 * partitions_recycle() has committed.
 */
extern void partitions_publish(DatabaseSlot *slot);

#endif							/* WEBHOOK_PARTITIONS_H */
