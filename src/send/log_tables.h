/*-------------------------------------------------------------------------
 *
 * log_tables.h
 *		The tables with the last attempts and the counters of each webhook.
 *
 * All functions must be called in the worker's transaction, with SPI connected.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_LOG_TABLES_H
#define WEBHOOK_LOG_TABLES_H

/* What the log remembers of each webhook. */
#define LOG_TABLES_ATTEMPTS		10

/* Parameters of the statements below, counted from 0. */
enum
{
	LOG_PARAM_WEBHOOK_ID,
	LOG_PARAM_SEQ,
	LOG_PARAM_ATTEMPTED_AT,
	LOG_PARAM_MESSAGE_ID,
	LOG_PARAM_EVENT,
	LOG_PARAM_ATTEMPT,
	LOG_PARAM_METHOD,
	LOG_PARAM_URL,
	LOG_PARAM_REQUEST_HEADERS,
	LOG_PARAM_REQUEST_BODY,
	LOG_PARAM_STATUS,
	LOG_PARAM_RESPONSE_HEADERS,
	LOG_PARAM_RESPONSE_BODY,
	LOG_PARAM_DURATION_US,
	LOG_PARAM_ERROR,
	LOG_PARAM_OUTCOME,
	LOG_PARAMS
};

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
	HEALTH_PARAMS
};

/* The number of the newest attempt in the log; 0 if there is none. */
extern int64 log_tables_last_seq(int64 webhook_id);

/* Append an attempt.  nulls is as for SPI_execute_plan(). */
extern void log_tables_add_attempt(Datum *values, const char *nulls);

/* Append counters and state.  Returns false if there is no such webhook. */
extern bool log_tables_add_health(Datum *values, const char *nulls);

/* If a table is full, change to the other one of its pair, after removing what is outdated there. */
extern void log_tables_turn(void);

/* By how much they should be written less often because a table could not be truncated; 1: not at all. */
extern int	log_tables_slowdown(void);

#endif							/* WEBHOOK_LOG_TABLES_H */
