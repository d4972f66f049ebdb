/*-------------------------------------------------------------------------
 *
 * function.h
 *		Functions named by users; the name alone suffices if one function fits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_FUNCTION_H
#define WEBHOOK_FUNCTION_H

/*
 * Look up a function by its signature, "f(jsonb)", or by its name alone if exactly
 * one function of that name fits.  Errors name the argument and have this hint.
 * If the signature was specified, the caller must check whether the function fits.
 */
extern Oid	function_find(const char *argument, const char *text,
						  bool (*fits) (Oid function, Oid arg), Oid arg, const char *hint);

/*
 * The text of such an argument, or NULL.  In version 0.1.0 its type was
 * regprocedure, so that one is accepted, too.
 */
extern char *function_argument(FunctionCallInfo fcinfo, int n);

/* Does the function take (jsonb) or (jsonb, text, text) and return jsonb? */
extern bool function_is_transform(Oid function);

#endif							/* WEBHOOK_FUNCTION_H */
