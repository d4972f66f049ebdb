/*-------------------------------------------------------------------------
 *
 * argument.h
 *		Arguments of the functions that SQL calls.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ARGUMENT_H
#define WEBHOOK_ARGUMENT_H

#include "fmgr.h"

/* Return argument n; raise an error that names it if it is NULL. */
extern Datum argument_required(FunctionCallInfo fcinfo, int n, const char *name);

/*
 * Return a text argument that may be any name of 1 to 200 characters; raise an
 * error that names the argument if it is something else.
 */
extern char *argument_label(FunctionCallInfo fcinfo, int n, const char *name);

/* The beginning of an arbitrary string, made safe to quote in a message. */
extern char *argument_excerpt(const char *s, size_t len);

/*
 * For ereport(): errdetail() with a lower-case phrase as a sentence.  "it" stands for
 * the value of the argument.
 */
extern int	argument_detail(const char *problem);

#endif							/* WEBHOOK_ARGUMENT_H */
