/*-------------------------------------------------------------------------
 *
 * check.h
 *		Check values of the properties of a webhook.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CHECK_H
#define WEBHOOK_CHECK_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"

typedef struct Field Field;

/* A property, see fields.c. */
struct Field
{
	const char *name;
	Oid			type;			/* of the argument */
	bool		required;		/* has no default */
	const char *default_text;	/* input of the type, or NULL for NULL */
	int			sqlstate;		/* of errors */
	Datum		(*check) (const Field *field, Datum value);
	const char *hint;			/* what is allowed */
	const char *secrets;		/* NULL: none; "": the value; "*": the members
								 * of the object; "a,b": these of them */
};

/* A checker is passed a value of the field's type, not null, and returns the value to store. */
extern Datum check_label(const Field *field, Datum value);
extern Datum check_events(const Field *field, Datum value);
extern Datum check_url(const Field *field, Datum value);
extern Datum check_uids(const Field *field, Datum value);
extern Datum check_method(const Field *field, Datum value);
extern Datum check_headers(const Field *field, Datum value);
extern Datum check_format(const Field *field, Datum value);
extern Datum check_columns(const Field *field, Datum value);
extern Datum check_filter(const Field *field, Datum value);
extern Datum check_previous(const Field *field, Datum value);
extern Datum check_condition(const Field *field, Datum value);
extern Datum check_transform(const Field *field, Datum value);
extern Datum check_ordering(const Field *field, Datum value);
extern Datum check_secret(const Field *field, Datum value);
extern Datum check_retry_schedule(const Field *field, Datum value);
extern Datum check_no_retry(const Field *field, Datum value);
extern Datum check_timeout(const Field *field, Datum value);
extern Datum check_rate_limit(const Field *field, Datum value);
extern Datum check_max_in_flight(const Field *field, Datum value);
extern Datum check_batch_size(const Field *field, Datum value);
extern Datum check_batch_wait(const Field *field, Datum value);
extern Datum check_oauth(const Field *field, Datum value);
extern Datum check_signature(const Field *field, Datum value);
extern Datum check_certificate(const Field *field, Datum value);
extern Datum check_private_key(const Field *field, Datum value);
extern Datum check_template(const Field *field, Datum value);
extern Datum check_nothing(const Field *field, Datum value);

/* Bounds of the grace period of a replaced secret, for check_interval_us(). */
#define MAX_GRACE_MS	(INT64CONST(365) * 24 * 3600 * 1000)
#define GRACE_HINT		"Specify an interval of 0 to 365 days, without months or years."

/* Raise an error about the value of this argument.  problem is a lower-case phrase. */
extern void check_refuse(const Field *field, const char *problem);

/* Does the value refer to a file?  Raises an error, what before it, if the file may not be used. */
extern bool check_file_reference(const Field *field, const char *value, const char *what);

extern bool check_has_control_character(const char *s);

/* Generate a key for this version of signatures; NULL if the version is unknown. */
extern char *check_generate_key(const char *version);

/*
 * Convert an interval to microseconds.  Raises an error for the argument if it is
 * not between the bounds (milliseconds), or has months, whose length varies.
 */
extern int64 check_interval_us(const char *argument, Interval *interval,
							   int64 min_ms, int64 max_ms, const char *hint);

#endif							/* WEBHOOK_CHECK_H */
