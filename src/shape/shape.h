/*-------------------------------------------------------------------------
 *
 * shape.h
 *		Conversion of payloads by an integration: form, mapping, template.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SHAPE_H
#define WEBHOOK_SHAPE_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

typedef struct ShapeForm ShapeForm;
typedef struct ShapeMapping ShapeMapping;
typedef struct ShapeTemplate ShapeTemplate;

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
 * error that names the argument.
 */
extern ShapeForm *shape_compile_form(Jsonb *document);
extern ShapeMapping *shape_compile_mapping(Jsonb *document);
extern ShapeTemplate *shape_compile_template(Jsonb *document);

/* The name of a type, and the SQL type of a column for it. */
extern const char *shape_type_name(ShapeType type);
extern const char *shape_sql_type(ShapeType type);

/* The entries of the second, which replace those of the first that have the same name.  Either may be NULL. */
extern ShapeMapping *shape_merge_mappings(ShapeMapping *first, ShapeMapping *second);

/* Names at the beginning of the paths in a template; stops and returns the name that known() does not know. */
extern const char *shape_template_unknown(const ShapeTemplate *template,
										  bool (*known) (const char *name, void *arg), void *arg);

/* Deviations of a payload from a form; text is empty if there are none. */
typedef struct ShapeFaults
{
	StringInfoData text;
	bool		hold;			/* must it not be sent? */
} ShapeFaults;

/* Append the converted payload, as JSON text, and its deviations to faults, unless that is NULL. */
extern void shape_apply_form(const ShapeForm *form, Jsonb *payload, StringInfo out, ShapeFaults *faults);
extern void shape_apply_mapping(const ShapeMapping *mapping, Jsonb *payload, StringInfo out);
extern void shape_apply_template(const ShapeTemplate *template, Jsonb *payload, StringInfo out);

#endif							/* WEBHOOK_SHAPE_H */
