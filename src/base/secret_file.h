/*-------------------------------------------------------------------------
 *
 * secret_file.h
 *		Secrets that are stored in a file: "file:name" in place of the value.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SECRET_FILE_H
#define WEBHOOK_SECRET_FILE_H

/* Does the value name a file? */
extern bool secret_file_is_reference(const char *value);

/*
 * Check whether this role may refer to this file.  Returns NULL if so, else the
 * reason as a lower-case phrase.  Whether the file exists is found out when it
 * is read.
 */
extern const char *secret_file_problem(const char *reference, Oid role);

/*
 * Return the content of the file without trailing newlines, palloc'd.  On failure
 * returns NULL and sets *problem.  Requires a transaction.
 */
extern char *secret_file_read(const char *reference, Oid role, char **problem);

#endif							/* WEBHOOK_SECRET_FILE_H */
