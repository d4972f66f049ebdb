/*-------------------------------------------------------------------------
 *
 * owner.h
 *		The role that a webhook belongs to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_OWNER_H
#define WEBHOOK_OWNER_H

#include "utils/jsonb.h"

#include "asowner.h"

/* The key in the changes of update_webhook(). */
#define OWNER_KEY		"owner"

/* Within as_owner_begin(): an error if the webhook's owner does not exist any more. */
extern void owner_require(int64 id);

/* The name of a role from such a change. */
extern char *owner_from_json(const JsonbValue *v);

/*
 * Within as_owner_begin(): give a webhook, which the caller may manage, to this role, of which the caller must be a
 * member, too.  To be called when all other changes are stored.
 */
extern void owner_change(const AsOwner *state, int64 id, const char *name);

#endif							/* WEBHOOK_OWNER_H */
