/*-------------------------------------------------------------------------
 *
 * island.h
 *		Settings that the background processes work with, whatever others have set.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ISLAND_H
#define WEBHOOK_ISLAND_H

/* Before the process connects to a database, whose settings would count from then on. */
extern void island_before_connection(void);

/* When it is connected. */
extern void island_after_connection(void);

#endif							/* WEBHOOK_ISLAND_H */
