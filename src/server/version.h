/*-------------------------------------------------------------------------
 *
 * version.h
 *		The version of the library and that of the extension's SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_VERSION_H
#define WEBHOOK_VERSION_H

/* Are they the same?  Requires a transaction, and the extension in this database. */
extern bool version_fits(void);

/*
 * Raise an error if they differ, or the library is not preloaded.  The first line of
 * every SQL function that requires its own version of the SQL objects.
 */
extern void version_require(void);

/* Report in the server log why nothing is sent from this database.  Requires the same as version_fits(). */
extern void version_warn(void);

#endif							/* WEBHOOK_VERSION_H */
