/*-------------------------------------------------------------------------
 *
 * activation.h
 *		Activating and deactivating webhooks.
 *
 * Both must be called between as_owner_begin() and as_owner_end(), with the webhook
 * locked.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ACTIVATION_H
#define WEBHOOK_ACTIVATION_H

/*
 * Activate a webhook.  Buffered messages are sent or dropped.  Returns the number of
 * messages that will be sent.
 */
extern int64 activation_activate(int64 id, bool was_active, bool replay_events);

/*
 * Deactivate a webhook.  For one that is inactive, only buffering can be changed; the
 * reason remains.
 */
extern void activation_deactivate(int64 id, bool buffer_events);

#endif							/* WEBHOOK_ACTIVATION_H */
