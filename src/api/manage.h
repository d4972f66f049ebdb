/*-------------------------------------------------------------------------
 *
 * manage.h
 *		Webhooks and integrations that the caller may manage.
 *
 * All of this runs within as_owner_begin().
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
 * Is the webhook active?  An error when there is none with this id or it belongs
 * to another role; the caller cannot tell which.
 */
extern bool manage_find_webhook(const RunAs *state, int64 id);

/* The same, and lock the webhook against other changes. */
extern bool manage_lock_webhook(const RunAs *state, int64 id);

/* Remove a webhook that has been locked, and all that belongs to it. */
extern void manage_delete_webhook(int64 id);

/*
 * An error unless the integration exists and the caller may manage it.  It
 * cannot be deleted until the transaction ends.
 */
extern void manage_require_integration(const RunAs *state, const char *name);

/* An error if the webhook's owner does not exist any more. */
extern void manage_require_owner(int64 id);

/* The name of a role from the changes of update_webhook(). */
extern char *manage_owner_from_json(const JsonbValue *v);

/*
 * Give a webhook, which the caller may manage, to this role, of which the caller
 * must be a member, too.  Call it after all other changes have been stored.
 */
extern void manage_change_owner(const RunAs *state, int64 id, const char *name);

#endif							/* WEBHOOK_MANAGE_H */
