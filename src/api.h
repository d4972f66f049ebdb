/*-------------------------------------------------------------------------
 *
 * api.h
 *		Arguments of the functions that SQL calls.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_API_H
#define WEBHOOK_API_H

#include "asowner.h"
#include "fmgr.h"

/* Argument n, or an error that names it when it is NULL. */
extern Datum api_argument(FunctionCallInfo fcinfo, int n, const char *name);

/*
 * Lock the webhook against other changes and return whether it is active.
 * Within as_owner_begin().  An error when there is none with this id or it
 * belongs to somebody else; the caller cannot tell which.
 */
extern bool api_lock_webhook(const AsOwner *state, int64 id);

/* Remove a webhook that has been locked, and all that belongs to it.  Within as_owner_begin(). */
extern void api_delete_webhook(int64 id);

#endif							/* WEBHOOK_API_H */
