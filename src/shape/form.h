/*-------------------------------------------------------------------------
 *
 * form.h
 *		Forms: the fields of a payload, their order and their types.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_FORM_H
#define WEBHOOK_FORM_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

typedef struct ShapeForm ShapeForm;

/* Types of the fields of a form. */
typedef enum ShapeType
{
	SHAPE_TEXT,
	SHAPE_INTEGER,
	SHAPE_NUMBER,
	SHAPE_BOOLEAN,
	SHAPE_DATE,
	SHAPE_TIMESTAMP,
	SHAPE_JSON
} ShapeType;

typedef struct ShapeField
{
	char	   *name;
	ShapeType	type;
	bool		required;
	bool		hold;			/* send nothing if the value is missing or not
								 * of this type */
	char	   *default_json;	/* JSON text, "null" without a default */
	char	   *default_text;	/* the same as input for the SQL type, or NULL */
	char	   *prefix;			/* "name": as JSON */
} ShapeField;

struct ShapeForm
{
	int			nfields;
	ShapeField *fields;
};

/*
 * Compile a document, in the current memory context.  If it is not valid, raises an
 * error that names the argument "fields".
 */
extern ShapeForm *form_compile(Jsonb *document);

/* The name of a type, and the SQL type of a column for it. */
extern const char *form_type_name(ShapeType type);
extern const char *form_sql_type(ShapeType type);

/* Deviations of a payload from a form; text is empty if there are none. */
typedef struct ShapeFaults
{
	StringInfoData text;
	bool		hold;			/* must it not be sent? */
} ShapeFaults;

/* Append the converted payload, as JSON text, and its deviations to faults, unless that is NULL. */
extern void form_apply(const ShapeForm *form, Jsonb *payload, StringInfo out, ShapeFaults *faults);

#endif							/* WEBHOOK_FORM_H */
