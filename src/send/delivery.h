/*-------------------------------------------------------------------------
 *
 * delivery.h
 *		One message for one webhook, in the worker's memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DELIVERY_H
#define WEBHOOK_DELIVERY_H

#include "log/message.h"
#include "pure/phase.h"
#include "send/endpoint.h"
#include "send/question.h"

/* The states of a row of webhook.delivery; their names are in delivery_table.c. */
typedef enum DeliveryState
{
	DELIVERY_WAITING,			/* to be sent in its turn, or when its webhook
								 * is activated */
	DELIVERY_RETRYING,			/* has failed, due again at next_attempt_at */
	DELIVERY_FAILED				/* given up */
} DeliveryState;

/* How long a request takes, as far as is known. */
typedef enum RequestPace
{
	PACE_QUICK,
	PACE_DOUBTFUL,				/* it may well take long */
	PACE_SLOW					/* it takes long */
} RequestPace;

/* What prepare_delivery() has decided. */
typedef enum Preparation
{
	PREPARATION_NONE,			/* not prepared yet */
	PREPARATION_SEND,
	PREPARATION_DROP,			/* the transform has returned null */
	PREPARATION_HOLD,			/* it does not fit the form and must not be
								 * sent */
	PREPARATION_ERROR			/* to be tried again later */
} Preparation;

typedef struct Delivery
{
	Message    *message;
	Endpoint   *endpoint;
	int64		order_key;		/* deliveries with the same one follow each
								 * other; 0: any order */
	DeliveryPhase phase;		/* changed by delivery_enter() alone */
	int			attempts;		/* made so far */
	bool		probe;			/* it shows whether a failing endpoint works
								 * again */
	bool		replayed;		/* it was read from the history, where it
								 * remains: it has no row, see replay.c */
	bool		behind_replay;	/* it waits for messages of its entity that
								 * are replayed */
	char	   *withheld;		/* why its webhook's owner may not be sent it
								 * any more, or NULL */
	struct OrderKey *key;		/* NULL for order_key 0, and once it has been
								 * released, or left to another one in the
								 * same request */

	int			batch_max;		/* at most this many, all with the same limit,
								 * share its request; 0: as many as the
								 * endpoint allows */

	bool		authorized_again;	/* this attempt is made again, as the
									 * receiver refused its access token */

	struct						/* the latest attempt */
	{
		TimestampTz sent_at;
		TimestampTz configured_at;	/* when the configuration that it used was
									 * last changed */
		Question	question;	/* asks the endpoint whether it may be sent
								 * anything */
		bool		again;		/* it will be made once more, as the receiver
								 * has rejected the access token */
		bool		member;		/* of a batch, but not its first one */
		bool		follows;	/* ... and it has been held by its key until
								 * then */
		RequestPace pace;
		struct Request *request;	/* while sending, else NULL */
	}			attempt;

	struct						/* its row in webhook.delivery; see spill.c */
	{
		bool		exists;
		bool		was_retrying;	/* ... and is DELIVERY_RETRYING there */
		bool		write_pending;	/* listed to be written, perhaps while
									 * sending */
		bool		blocks_key; /* no lock on its webhook yet: later ones must
								 * not overtake it */
		DeliveryState next_state;
		TimestampTz next_attempt_at;
		char	   *last_error;
	}			row;

	struct						/* see prepare.c */
	{
		Preparation result;
		char	   *payload;	/* NULL: the message's */
		char	   *previous;	/* what is sent of the values before, or NULL */
		char	   *error;		/* with PREPARATION_ERROR, else NULL */
		char	   *faults;		/* what does not fit the form, or NULL */
	}			prepared;

	bool		prepare_ahead;	/* it will be prepared while it is held */
	dlist_node	ahead_node;		/* among those */
	dlist_node	phase_node;		/* in the list of its phase */
	dlist_node	write_node;		/* among those to be written */
	dlist_node	all_node;		/* in endpoint->queue.all */
	dlist_node	message_node;	/* in message->deliveries */
} Delivery;

/* Must be called once, before the others.  The context is that of all deliveries. */
extern void delivery_init(MemoryContext context);

/* The order key of this message for the endpoint; 0 if it may be sent in any order. */
extern int64 delivery_order_key(const Endpoint *endpoint, const Message *message);

/*
 * A new delivery, in PHASE_NEW, with a reference to the message.  Checks whether the
 * owner may be sent that.  Requires a transaction.
 */
extern Delivery *delivery_create(Message *message, Endpoint *endpoint, int64 order_key);

/* The same for a row that has been read.  Takes over the message. */
extern Delivery *delivery_restore(Message *message, Endpoint *endpoint, int64 order_key, int attempts);

/*
 * Change the phase of a delivery: leave the list of the old one, enter that of the
 * new one, update the counters.  Nothing else changes delivery->phase.  Raises an
 * error if the phase cannot follow.
 */
extern void delivery_enter(Delivery *delivery, DeliveryPhase phase);

/* The request of this delivery, and of those that share it, takes long. */
extern void delivery_mark_slow(Delivery *delivery);

/*
 * Have a held delivery prepared before its key is free, so that it can follow
 * the holder in the same batch; or cancel that, if it was requested.
 */
extern void delivery_prepare_ahead(Delivery *delivery);
extern void delivery_leave_ahead(Delivery *delivery);

/*
 * End a delivery that has released its key, and free it.  Its row, if any, is not
 * touched and may be read again.
 */
extern void delivery_forget(Delivery *delivery);

/* Give a delivery a message of its own, so that the cursor can move on. */
extern void delivery_detach(Delivery *delivery);

/*
 * Drop a reference to a message, held by a delivery or by its creator.  With the last
 * one, the cursor finishes the message; one that was read from a table is freed.
 */
extern void delivery_release_message(Message *message);

/* If the delivery was the probe of a failing endpoint, it no longer is: plan the next one. */
extern void delivery_end_probe(Delivery *delivery);

/* Check all deliveries again, because privileges have changed.  Requires a transaction. */
extern void delivery_check_access(void);

/* Deliveries in PHASE_PREPARING, and those to be prepared while they are held, the longest waiting first. */
extern dlist_head *delivery_preparing(void);
extern dlist_head *delivery_preparing_ahead(void);

/* Rows that must not be read: those of deliveries in memory, and those that are still to be deleted. */
extern bool delivery_has_row(int64 webhook_id, int64 id);
extern void delivery_note_row(int64 webhook_id, int64 id);
extern void delivery_forget_row(int64 webhook_id, int64 id);

extern int	delivery_in_memory(void);
extern int	delivery_load(void);	/* the same for limits: a slow request
									 * counts as one */
extern Size delivery_own_bytes(void);	/* of messages that the cursor does
										 * not hold, without slow requests */
extern int64 delivery_last_finished(void);	/* the greatest message id of
											 * which a delivery has left
											 * memory */

#endif							/* WEBHOOK_DELIVERY_H */
