/*-------------------------------------------------------------------------
 *
 * manage.h
 *		Webhooks and integrations that the caller may manage.
 *
 * All of these must be called between as_owner_begin() and as_owner_end().
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_MANAGE_H
#define WEBHOOK_MANAGE_H

#include "utils/jsonb.h"

#include "base/as_owner.h"

/* The key of the owner in the changes of update_webhook(). */
#define OWNER_KEY		"owner"

/*
 * Is the webhook active?  Raises an error if it does not exist or belongs to another
 * role; the error does not reveal which.
 */
extern bool manage_find_webhook(const RunAs *state, int64 id);

/* The same, and lock the webhook against other changes. */
extern bool manage_lock_webhook(const RunAs *state, int64 id);

/* Only lock it. */
extern void manage_wait_for_webhook(int64 id);

/* Delete a webhook, which must be locked, with all that belongs to it. */
extern void manage_delete_webhook(int64 id);

/*
 * Raise an error unless the integration exists and the caller may manage it.  Locks
 * it against deletion until the end of the transaction.
 */
extern void manage_require_integration(const RunAs *state, const char *name);

/* Raise an error if the webhook's owner has been dropped. */
extern void manage_require_owner(int64 id);

/* The name of a role from the changes of update_webhook(). */
extern char *manage_owner_from_json(const JsonbValue *v);

/*
 * Assign a webhook, which the caller may manage, to this role; the caller must be a
 * member of that, too.  Must be called after all other changes have been stored.
 */
extern void manage_change_owner(const RunAs *state, int64 id, const char *name);

#endif							/* WEBHOOK_MANAGE_H */
