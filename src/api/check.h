/*-------------------------------------------------------------------------
 *
 * check.h
 *		Checkers of the values that the properties of a webhook can have.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CHECK_H
#define WEBHOOK_CHECK_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"

typedef struct Field Field;

/* A property, as fields.c describes it. */
struct Field
{
	const char *name;
	Oid			type;			/* of the argument */
	bool		required;		/* there is no default */
	const char *default_text;	/* input of the type, or NULL for NULL */
	int			sqlstate;		/* of a refusal */
	Datum		(*check) (const Field *field, Datum value);
	const char *hint;			/* what is allowed */
};

/*
 * A checker gets a value of the field's type that is not NULL and returns it in
 * the form in which it is stored.
 */
extern Datum check_label(const Field *field, Datum value);
extern Datum check_events(const Field *field, Datum value);
extern Datum check_url(const Field *field, Datum value);
extern Datum check_uids(const Field *field, Datum value);
extern Datum check_method(const Field *field, Datum value);
extern Datum check_headers(const Field *field, Datum value);
extern Datum check_format(const Field *field, Datum value);
extern Datum check_columns(const Field *field, Datum value);
extern Datum check_filter(const Field *field, Datum value);
extern Datum check_transform(const Field *field, Datum value);
extern Datum check_ordering(const Field *field, Datum value);
extern Datum check_secret(const Field *field, Datum value);
extern Datum check_retry_schedule(const Field *field, Datum value);
extern Datum check_timeout(const Field *field, Datum value);
extern Datum check_rate_limit(const Field *field, Datum value);
extern Datum check_max_in_flight(const Field *field, Datum value);
extern Datum check_certificate(const Field *field, Datum value);
extern Datum check_private_key(const Field *field, Datum value);
extern Datum check_nothing(const Field *field, Datum value);

/* How long a secret that has been replaced may go on working, for check_interval_us(). */
#define MAX_GRACE_MS	(INT64CONST(365) * 24 * 3600 * 1000)
#define GRACE_HINT		"Specify an interval of 0 to 365 days, without months or years."

/* Report that a value is not accepted.  problem completes the message. */
extern void check_refuse(const Field *field, const char *problem);

/* A fresh key for this version of signatures, or NULL if there is none of this name. */
extern char *check_generate_key(const char *version);

/*
 * Microseconds of an interval that lies between the bounds (milliseconds) and
 * has no months, whose length nobody knows.  Otherwise an error for the argument.
 */
extern int64 check_interval_us(const char *argument, Interval *interval,
							   int64 min_ms, int64 max_ms, const char *hint);

#endif							/* WEBHOOK_CHECK_H */
