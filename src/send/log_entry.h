/*-------------------------------------------------------------------------
 *
 * log_entry.h
 *		One request as the log shows it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_LOG_ENTRY_H
#define WEBHOOK_LOG_ENTRY_H

#include "http/http.h"
#include "send/delivery.h"
#include "send/log_tables.h"
#include "send/request.h"

/*
 * The entry of an attempt that has ended, which delivery->attempts does not include yet.
 * request is NULL if it could not be built, or was one for a token.  All texts are copied.
 */
extern LogEntry *log_entry_create(const Delivery *delivery, const Request *request, const HttpResult *result,
								  MemoryContext context);

/* Convert an entry to a row with this number; values are allocated in the current context. */
extern void log_entry_fill_row(LogRow *row, const Endpoint *endpoint, const LogEntry *entry, int64 seq);

#endif							/* WEBHOOK_LOG_ENTRY_H */
