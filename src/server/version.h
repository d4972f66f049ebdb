/*-------------------------------------------------------------------------
 *
 * version.h
 *		The version of the library and that of the extension's SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_VERSION_H
#define WEBHOOK_VERSION_H

/* Are the two the same?  Needs a transaction, and the extension in this database. */
extern bool version_fits(void);

/* Beginning of every SQL function that needs the tables and functions of its own version: an error if it cannot run. */
extern void version_require(void);

/* Say in the server log why nothing is sent from this database. */
extern void version_warn(void);

#endif							/* WEBHOOK_VERSION_H */
