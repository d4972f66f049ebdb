/*-------------------------------------------------------------------------
 *
 * log_tables.h
 *		The tables with the last attempts and the counters of each webhook.
 *
 * All functions but log_tables_slowdown() must be called in the worker's transaction,
 * with SPI connected.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_LOG_TABLES_H
#define WEBHOOK_LOG_TABLES_H

/* The log keeps this many attempts of each webhook. */
#define LOG_TABLES_ATTEMPTS		10

/* The columns of webhook.log and webhook.log_1. */
enum
{
	Anum_log_webhook_id = 1,
	Anum_log_slot,				/* unused */
	Anum_log_seq,
	Anum_log_attempted_at,
	Anum_log_message_id,
	Anum_log_event,
	Anum_log_attempt,
	Anum_log_method,
	Anum_log_url,
	Anum_log_request_headers,
	Anum_log_request_body,
	Anum_log_status,
	Anum_log_response_headers,
	Anum_log_response_body,
	Anum_log_duration,
	Anum_log_error,
	Anum_log_outcome,
	Anum_log_messages,
	Anum_log_remote_address,
	Anum_log_http_version,
	Anum_log_dns_time,
	Anum_log_connect_time,
	Anum_log_tls_time,
	Anum_log_first_byte_time,
	Natts_log = Anum_log_first_byte_time
};

typedef struct LogRow
{
	Datum		values[Natts_log];
	bool		nulls[Natts_log];
} LogRow;

/* Parameters of log_tables_add_health(), counted from 0. */
enum
{
	HEALTH_PARAM_WEBHOOK_ID,
	HEALTH_PARAM_DELIVERED,		/* counters are added to what is stored */
	HEALTH_PARAM_FAILED,
	HEALTH_PARAM_ATTEMPTS,
	HEALTH_PARAM_DROPPED,
	HEALTH_PARAM_EXPIRED,
	HEALTH_PARAM_LAST_SUCCESS_AT,	/* null: as before; also the next two */
	HEALTH_PARAM_LAST_FAILURE_AT,
	HEALTH_PARAM_LAST_ERROR,
	HEALTH_PARAM_FAILURES,
	HEALTH_PARAM_FAILING_SINCE,
	HEALTH_PARAM_PROBES,
	HEALTH_PARAM_NEXT_PROBE_AT,
	HEALTH_PARAM_WARNED,
	HEALTH_PARAM_AGREED_AT,
	HEALTH_PARAM_ALLOWED_RATE,
	HEALTH_PARAM_RECORDED_AT,
	HEALTH_PARAM_OUTCOMES,		/* added to what is stored, like the counters;
								 * null: nothing */
	HEALTH_PARAM_DURATIONS,
	HEALTH_PARAM_LATENCIES,
	HEALTH_PARAM_DURATION_US,
	HEALTH_PARAM_LATENCY_US,
	HEALTH_PARAMS
};

/* The number of the newest attempt in the log; 0 if there is none. */
extern int64 log_tables_last_seq(int64 webhook_id);

/* Append attempts; n is from 1 to LOG_TABLES_ATTEMPTS. */
extern void log_tables_add_attempts(const LogRow *rows, int n);

/* In place of a webhook's id: what all of them have done. */
#define LOG_TABLES_ALL		0

/*
 * Append counters and state of a webhook, under its lock.  nulls is as for
 * SPI_execute_plan().  Returns false if there is no such webhook.
 */
extern bool log_tables_add_health(Datum *values, const char *nulls);

/*
 * If a table is full, change to the other one of its pair, after removing what is
 * outdated there.  Does not wait for its readers: meanwhile the full one grows.
 */
extern void log_tables_recycle(void);

/* The factor by which the tables should be written less often, since one could not be truncated; usually 1. */
extern int	log_tables_slowdown(void);

#endif							/* WEBHOOK_LOG_TABLES_H */
