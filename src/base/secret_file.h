/*-------------------------------------------------------------------------
 *
 * secret_file.h
 *		Secrets that stand in a file: "file:name" in place of the value.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SECRET_FILE_H
#define WEBHOOK_SECRET_FILE_H

/* Does the value name a file? */
extern bool secret_file_is_reference(const char *value);

/*
 * May this role name this file?  NULL if so, else what is wrong as a lower-case
 * phrase.  Whether the file exists shows when it is used.
 */
extern const char *secret_file_problem(const char *reference, Oid role);

/*
 * The content of the file without line breaks at its end, in the current memory
 * context; NULL on failure, *problem then says why.  In a transaction.
 */
extern char *secret_file_read(const char *reference, Oid role, char **problem);

#endif							/* WEBHOOK_SECRET_FILE_H */
