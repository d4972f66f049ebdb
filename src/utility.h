/*-------------------------------------------------------------------------
 *
 * utility.h
 *		Commands that need a database without our worker in it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_UTILITY_H
#define WEBHOOK_UTILITY_H

/* Install the hook; called once from _PG_init, only while preloading. */
extern void utility_init(void);

#endif							/* WEBHOOK_UTILITY_H */
