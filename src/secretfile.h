/*-------------------------------------------------------------------------
 *
 * secretfile.h
 *		Secrets that stand in a file: "file:name" in place of the value.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SECRETFILE_H
#define WEBHOOK_SECRETFILE_H

/* Does the value name a file? */
extern bool secretfile_is_reference(const char *value);

/*
 * May this role name this file?  NULL if so, else what is wrong as a lower-case
 * phrase.  Whether the file exists shows when it is used.
 */
extern const char *secretfile_problem(const char *reference, Oid role);

/*
 * The content of the file without line breaks at its end, in the current memory
 * context; NULL on failure, *problem then says why.  In a transaction.
 */
extern char *secretfile_read(const char *reference, Oid role, char **problem);

#endif							/* WEBHOOK_SECRETFILE_H */
