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

/* Argument n, or an error that names it when it is NULL. */
extern Datum argument_required(FunctionCallInfo fcinfo, int n, const char *name);

/* Text of an argument that is a free name of 1 to 200 characters, or an error that names it. */
extern char *argument_label(FunctionCallInfo fcinfo, int n, const char *name);

/* The beginning of a text that may be anything, as it can be shown in a message. */
extern char *argument_excerpt(const char *s, size_t len);

#endif							/* WEBHOOK_ARGUMENT_H */
