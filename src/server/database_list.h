/*-------------------------------------------------------------------------
 *
 * database_list.h
 *		The databases of the server that could be served, in the launcher.
 *
 * For the launcher only; "the lock" is shmem_lock().
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DATABASE_LIST_H
#define WEBHOOK_DATABASE_LIST_H

/* Must be called once, before the others. */
extern void database_list_init(void);

/* Read pg_database, in a transaction of its own.  The lock must not be held.  Afterwards there are slots to assign. */
extern void database_list_scan(void);

/* Is the database in the list?  Is it also known not to have the extension? */
extern bool database_list_contains(Oid database);
extern bool database_list_is_absent(Oid database);

/* Remember for a database, or forget for all of them, that the extension does not exist. */
extern void database_list_set_absent(Oid database, bool absent);
extern void database_list_forget_absent(void);

/*
 * Assign slots to databases that have none and may have the extension, as long as
 * there are free ones.  Cheap if there is nothing to do.  The lock must be held
 * exclusively.
 */
extern void database_list_assign_slots(void);

/*
 * Names of the databases that could not be assigned a slot, "" if there is none, and
 * their number.  Palloc'd.  Takes the lock.
 */
extern char *database_list_without_slot(int *count);

#endif							/* WEBHOOK_DATABASE_LIST_H */
