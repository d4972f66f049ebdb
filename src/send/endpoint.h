/*-------------------------------------------------------------------------
 *
 * endpoint.h
 *		A webhook as the worker sees it: where to send, and how it fares.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ENDPOINT_H
#define WEBHOOK_ENDPOINT_H

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "lib/stringinfo.h"

#include "http/http.h"
#include "pure/challenge.h"
#include "pure/handshake.h"
#include "pure/health.h"
#include "pure/result.h"
#include "pure/retry.h"
#include "pure/sign.h"
#include "pure/signature.h"
#include "send/activity.h"
#include "send/format.h"
#include "send/log_tables.h"
#include "shape/template.h"

typedef enum EndpointOrdering
{
	ORDER_ENTITY,				/* messages of the same entity one after the
								 * other */
	ORDER_STRICT,				/* all messages one after the other */
	ORDER_NONE
} EndpointOrdering;

/* One request as the log shows it, see log_entry.c. */
typedef struct LogEntry LogEntry;

/* Where an endpoint with ready deliveries waits for its turn to send; see scheduler.c. */
typedef enum SchedulerList
{
	LIST_NONE,					/* nothing is ready, or all its requests are
								 * in flight */
	LIST_TURN,					/* may send */
	LIST_LATER,					/* its rate limit says when */
	LIST_PROXY,					/* its proxy does not work */
	LIST_HELD					/* slow ones wait until there are fewer slow
								 * requests */
} SchedulerList;

/* What of the values before a change is sent. */
typedef enum EndpointPrevious
{
	PREVIOUS_NONE,
	PREVIOUS_CHANGED,			/* those that have changed */
	PREVIOUS_ROW				/* all of them */
} EndpointPrevious;

/* The keys of a secret, as far as they are needed, or NULL. */
typedef struct EndpointKeys
{
	SignKey    *standard;		/* for Standard Webhooks */
	SignatureKey *other;		/* for the other signatures */
} EndpointKeys;

/* The configuration as of the generation, in its own context.  Written by endpoint_config.c. */
typedef struct EndpointConfig
{
	uint64		generation;		/* 0: not loaded */
	MemoryContext context;
	bool		exists;
	bool		known;			/* the webhook exists, or has existed */
	bool		active;
	bool		buffering;
	TimestampTz deactivated_at;
	struct XidSet *discarded;	/* messages of these transactions are not for
								 * it any more; NULL: none */
	TimestampTz updated_at;
	TimestampTz activated_at;	/* 0: never again */
	Oid			owner;
	char	   *app;
	char	   *name;			/* or NULL */
	char	   *url;
	char	   *method;
	const PayloadFormat *format;
	EndpointOrdering ordering;
	int			nheaders;
	char	  **headers;		/* complete lines */
	const char *shown_headers;	/* the same for the log, values hidden */
	Signature  *signature;
	EndpointKeys keys;
	EndpointKeys previous_keys; /* sign too until previous_key_until */
	TimestampTz previous_key_until;
	bool		own_schedule;
	RetrySchedule schedule;		/* when own_schedule */
	struct Token *token;		/* which requests must have, or NULL */
	FinalStatuses no_retry;		/* these are not retried */
	long		timeout_ms;		/* 0: the setting's */
	int			max_in_flight;
	int			rate_limit;		/* requests per second; 0: no limit */
	int64		send_interval;	/* microseconds between two requests, by all
								 * limits; 0: none */
	char	   *client_cert;
	char	   *client_key;
	char	   *ca_cert;
	char	   *problem;		/* why no request can be made, or NULL */
	char	   *integration;	/* whose shape payloads get, or NULL */
	char	   *transform;		/* function of the owner, or NULL */
	ShapeTemplate *template;	/* of its payloads, or NULL */
	EndpointPrevious previous;
	int			batch_size;		/* messages in one request; 0: it has no
								 * batches */
	int64		batch_wait;		/* microseconds */

	struct						/* what dispatch.c has acted upon; it may have
								 * been reloaded since */
	{
		uint64		generation;
		bool		active;
		TimestampTz updated_at;
	}			seen;
} EndpointConfig;

/* Deliveries in memory.  Written by delivery.c and scheduler.c. */
typedef struct EndpointQueue
{
	dlist_head	ready;			/* in PHASE_READY */
	dlist_head	all;
	int			nready;
	int			nheld;			/* in PHASE_HELD */
	int			in_memory;		/* length of all */
	int			sending;		/* in PHASE_SENDING */
	int			in_flight;		/* their requests */
	int			slow;			/* of those, in flight for long */
	SchedulerList list;
	dlist_node	list_node;		/* in that list */
	TimestampTz next_send_at;	/* with a rate limit */
} EndpointQueue;

/* Shaping and transforming.  Written by queue.c and prepare.c. */
typedef struct EndpointPreparation
{
	TimestampTz after;			/* the transform was slow, the next call is
								 * due then; 0: it was not */
	char	   *reported_faults;	/* what of a form's faults was reported
									 * last, or NULL; malloc() */
} EndpointPreparation;

/* Whether it works.  Written by attempt.c and probe.c. */
typedef struct EndpointState
{
	Handshake	handshake;
	Challenge	challenge;
	Health		health;
	bool		health_known;	/* loaded from the table */
	bool		proven;			/* the last attempt succeeded */
	bool		probing;		/* the probe is in memory */
	bool		in_probe_queue;
	int			batch_limit;	/* of the size, as larger ones were refused;
								 * 0: none */
	int			batch_successes;	/* batches of this size since then */
	bool		awaits_token;	/* ... before anything is sent */
	bool		token_denied;	/* what it has waited for failed */
	TimestampTz token_refused_at;	/* it has refused a new token; 0: never */
	uint64		route_known;	/* generation of the settings for which the
								 * next one is valid; 0: none */
	bool		proxied;		/* its requests go through the proxy */
	bool		token_proxied;	/* those for its access token do */
	pairingheap_node probe_node;
} EndpointState;

/* Its rows in the delivery table.  Written by spill.c. */
typedef struct EndpointSpill
{
	bool		backlog;		/* rows wait: newer messages must go there too */
	int64		backlog_read;	/* ids up to this one have been taken from
								 * there */
	bool		suspend_pending;	/* its retrying rows must become waiting */
	bool		drop_pending;	/* its rows must be deleted */
	struct ReplayRun *replay;	/* what it is sent again, or NULL; written by
								 * replay_run.c */
} EndpointSpill;

/* Pending warnings and deactivation.  Written by deactivation.c. */
typedef struct EndpointPending
{
	int			warning;		/* percent; 0: none */
	bool		refused;		/* by the proxy */
	const char *deactivate;		/* why it will be deactivated, or NULL */
	char	   *token_problem;	/* why there is no access token, to be
								 * reported; or NULL */
	TimestampTz deactivate_as_of;	/* ... while this is when its
									 * configuration was last changed */
} EndpointPending;

/* What has happened since it was last recorded.  Written by attempt_log.c. */
typedef struct EndpointStats
{
	bool		dirty;
	bool		dirty_failing;	/* ... a failure among it: that is written
								 * first */
	int64		dirty_since;
	dlist_node	dirty_node;
	int64		delivered;
	int64		failed;
	int64		attempts;
	int64		dropped;
	int64		expired;
	TimestampTz last_success_at;
	TimestampTz last_failure_at;
	char	   *last_error;		/* malloc'd as it outlives everything; NULL:
								 * none */
	Activity   *activity;		/* likewise */
	TimestampTz recorded_at;	/* the minute of the last recording; 0: not
								 * known */
	bool		log_seq_known;
	int64		log_base;		/* numbers in the table go on from here */
	int64		log_seq;		/* attempts noted since the worker started */
	int			nlog;			/* entries not written yet */
	LogEntry   *log[LOG_TABLES_ATTEMPTS];
} EndpointStats;

typedef struct Endpoint
{
	int64		id;				/* hash key */
	EndpointConfig config;
	EndpointQueue queue;
	EndpointPreparation prepare;
	EndpointState state;
	EndpointSpill spill;
	EndpointPending pending;
	EndpointStats stats;
} Endpoint;

/* Must be called once, before the others. */
extern void endpoint_init(void);

/*
 * The endpoint of a webhook, added if necessary, with its present configuration.
 * config.exists is false if the webhook does not exist.  Never NULL.  Requires a
 * transaction with SPI connected.
 */
extern Endpoint *endpoint_get(int64 id);

/*
 * Reload the configuration if it may have changed.  Its previous strings are freed.
 * Requires a transaction with SPI connected.
 */
extern void endpoint_refresh(Endpoint *endpoint);

/* The worker has just deactivated the webhook, with a buffer.  Valid until the configuration is reloaded. */
extern void endpoint_note_deactivated(Endpoint *endpoint);

/* Was this transaction's message discarded, because the webhook was activated without its buffer? */
extern bool endpoint_discards(const Endpoint *endpoint, uint64 xid);

/*
 * When the webhook was last changed; DT_NOBEGIN if it does not exist.  Reads the
 * table.  Requires a transaction with SPI connected.
 */
extern TimestampTz endpoint_changed_at(int64 id);

/* Have all endpoints reloaded when they are next needed, because files may have changed. */
extern void endpoint_forget_all(void);

/* May the configuration have changed since it was marked as seen?  And: mark the loaded one, after acting upon it. */
extern bool endpoint_changed(const Endpoint *endpoint);
extern void endpoint_mark_seen(Endpoint *endpoint);

/* Call back for each endpoint in memory.  The callback must not add endpoints. */
extern void endpoint_foreach(void (*callback) (Endpoint *endpoint));

/* If there are many endpoints, free those that nothing depends on; pointers to them become invalid. */
extern void endpoint_trim(void);

/* Does the webhook exist, and is it active and not about to be deactivated? */
extern bool endpoint_is_sendable(const Endpoint *endpoint);

/* The same, and it is not failing: more than a probe may be sent. */
extern bool endpoint_is_working(const Endpoint *endpoint);

/* Recompute the interval of its requests, because the receiver has set a limit. */
extern void endpoint_set_pace(Endpoint *endpoint);

/* How many messages may share a request now; 0: it has no batches. */
extern int	endpoint_batch_size(const Endpoint *endpoint);

/* The receiver has refused a batch of this size as too large; or has accepted one. */
extern void endpoint_batch_refused(Endpoint *endpoint, int size);
extern void endpoint_batch_accepted(Endpoint *endpoint, int size);

/* Its own schedule, valid until the endpoint is reloaded, or the one of the settings. */
extern const RetrySchedule *endpoint_schedule(const Endpoint *endpoint);

#endif							/* WEBHOOK_ENDPOINT_H */
