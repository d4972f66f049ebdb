/*-------------------------------------------------------------------------
 *
 * database_ddl.h
 *		DDL commands that require our worker to disconnect from a database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DATABASE_DDL_H
#define WEBHOOK_DATABASE_DDL_H

/* Install the hook; called once from _PG_init, only while preloading. */
extern void database_ddl_init(void);

/* Must be called at the end of every transaction, also of one that aborts: releases its holds. */
extern void database_ddl_at_eoxact(void);

#endif							/* WEBHOOK_DATABASE_DDL_H */
