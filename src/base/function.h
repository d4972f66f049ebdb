/*-------------------------------------------------------------------------
 *
 * function.h
 *		Functions that users name: by their name alone if one fits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_FUNCTION_H
#define WEBHOOK_FUNCTION_H

/*
 * The function that a text names, with its arguments, "f(jsonb)", or by its
 * name alone if exactly one of these functions fits.  Errors say what is wrong
 * with the argument and end with the hint.  Whether a function that is named
 * with its arguments fits is for the caller to find out.
 */
extern Oid	function_find(const char *argument, const char *text,
						  bool (*fits) (Oid function, Oid arg), Oid arg, const char *hint);

/*
 * The text of such an argument, NULL for NULL.  In version 0.1.0 its type was
 * regprocedure.
 */
extern char *function_argument(FunctionCallInfo fcinfo, int n);

/* Does the function take (jsonb) or (jsonb, text, text) and return jsonb? */
extern bool function_is_transform(Oid function);

#endif							/* WEBHOOK_FUNCTION_H */
