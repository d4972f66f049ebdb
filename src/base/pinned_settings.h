/*-------------------------------------------------------------------------
 *
 * pinned_settings.h
 *		Settings that affect the text form of values, the same in every session.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PINNED_SETTINGS_H
#define WEBHOOK_PINNED_SETTINGS_H

/* Groups of settings, as bits. */
#define PINNED_DATES		0x01	/* DateStyle */
#define PINNED_ZONE			0x02	/* TimeZone */
#define PINNED_INTERVALS	0x04	/* IntervalStyle */
#define PINNED_FLOATS		0x08	/* extra_float_digits */
#define PINNED_BYTEA		0x10	/* bytea_output */
#define PINNED_MONEY		0x20	/* lc_monetary */
#define PINNED_NAMES		0x40	/* search_path and quote_all_identifiers */
#define PINNED_FORMATS		0x80	/* used by functions only: lc_numeric,
									 * lc_time, xmlbinary, xmloption,
									 * array_nulls */
#define PINNED_ALL			0xff

/* No other role can create objects in it, and names outside of pg_catalog are output with their schema. */
#define PINNED_SEARCH_PATH	"pg_catalog, pg_temp"

/* The settings that the text form of this type depends on; 0 if there are none. */
extern int	pinned_for_type(Oid type);

/*
 * Apply these settings until pinned_end(), to which the result must be passed.
 * Cheap if the session has the same values.  pinned_apply() does it in the
 * caller's own GUC nest level.
 */
extern int	pinned_begin(int settings);
extern void pinned_apply(int settings);
extern void pinned_end(int nest_level);

#endif							/* WEBHOOK_PINNED_SETTINGS_H */
