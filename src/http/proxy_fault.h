/*-------------------------------------------------------------------------
 *
 * proxy_fault.h
 *		Whose fault is it that no tunnel has been made?
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PROXY_FAULT_H
#define WEBHOOK_PROXY_FAULT_H

#include "http/transfer.h"

/*
 * If the request ended before the proxy had connected to the host, and libcurl says why:
 * set *outcome, transfer->error and, with HTTP_PROXY, transfer->proxy_fault.  Otherwise
 * returns false.
 */
extern bool proxy_fault_judge(Transfer *transfer, CURLcode code, HttpOutcome *outcome);

/* The proxy does not even answer a request of its own. */
extern HttpOutcome proxy_fault_silent(Transfer *transfer);

#endif							/* WEBHOOK_PROXY_FAULT_H */
