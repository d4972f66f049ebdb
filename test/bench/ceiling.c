/*-------------------------------------------------------------------------
 *
 * ceiling.c
 *		How many requests a second can libcurl make here, with nothing else to do?
 *
 *		ceiling URL BODYFILE COUNT CONCURRENCY [HEADER...]
 *
 * Posts the same body COUNT times, CONCURRENCY at once, over kept-alive
 * connections, and prints the requests per second and the CPU time of each in
 * microseconds.  These are the numbers that the worker's own are measured against, so
 * it takes every short cut that libcurl leaves open: handles are set up once and started again untouched, the
 * responses are thrown away, and a socket stays in the epoll set between requests.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#define MAX_EVENTS		128
#define MAX_DESCRIPTORS 65536
#define MAX_BODY		(1024 * 1024)

static int	epoll_fd;
static unsigned char watched[MAX_DESCRIPTORS];	/* CURL_POLL_* in the epoll
												 * set */
static unsigned char wanted[MAX_DESCRIPTORS];
static int64_t deadline = -1;	/* of curl's timer, in microseconds; -1: none */

static void
die(const char *what)
{
	fprintf(stderr, "ceiling: %s\n", what);
	exit(1);
}

static int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t
cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (int64_t) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
		usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void
watch(int fd, int what)
{
	struct epoll_event event = {.data.fd = fd};
	int			operation = what == 0 ? EPOLL_CTL_DEL :
		watched[fd] == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (watched[fd] == what)
		return;
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(epoll_fd, operation, fd, &event) != 0 && what != 0)
		die("epoll_ctl failed");
	watched[fd] = what;
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	(void) easy;
	(void) arg;
	(void) socket_arg;
	if (fd >= MAX_DESCRIPTORS)
		die("too many descriptors");
	wanted[fd] = what == CURL_POLL_REMOVE ? 0 : what;
	if (wanted[fd] != 0 || watched[fd] != CURL_POLL_IN)
		watch(fd, wanted[fd]);
	return 0;
}

static int
on_close(void *arg, curl_socket_t fd)
{
	(void) arg;
	watched[fd] = wanted[fd] = 0;
	return close(fd);
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	(void) multi;
	(void) arg;
	deadline = timeout_ms < 0 ? -1 : now_us() + timeout_ms * 1000;
	return 0;
}

static size_t
on_data(char *data, size_t size, size_t nitems, void *arg)
{
	(void) data;
	(void) arg;
	return size * nitems;
}

static CURL *
make_handle(const char *url, const char *body, size_t len, struct curl_slist *headers)
{
	CURL	   *easy = curl_easy_init();
	CURLU	   *parsed = curl_url();	/* else it is parsed for every request */
	const char *proxy = getenv("CEILING_PROXY");

	if (easy == NULL || parsed == NULL)
		die("out of memory");
	if (curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK)
		die("invalid URL");
	curl_easy_setopt(easy, CURLOPT_CURLU, parsed);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long) len);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, proxy != NULL ? proxy : "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, proxy != NULL ? "" : "*");	/* else the environment
																		 * is searched */
	curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, proxy != NULL ? 1L : 0L);
	return easy;
}

/* Wait for what curl waits for, and let it act. */
static void
turn(CURLM *multi)
{
	struct epoll_event events[MAX_EVENTS];
	int			running;
	int			timeout = -1;
	int			n;

	if (deadline >= 0)
	{
		int64_t		left = deadline - now_us();

		timeout = left > 0 ? (int) ((left + 999) / 1000) : 0;
	}
	n = epoll_wait(epoll_fd, events, MAX_EVENTS, timeout);
	for (int i = 0; i < n; i++)
	{
		int			fd = events[i].data.fd;
		int			what = 0;

		if (wanted[fd] == 0)
		{
			watch(fd, 0);
			continue;
		}
		if (events[i].events & ~EPOLLOUT)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		curl_multi_socket_action(multi, fd, what, &running);
	}
	if (deadline >= 0 && deadline <= now_us())
	{
		deadline = -1;
		curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
}

/* Start every finished handle again while there is something left to start. */
static long
collect(CURLM *multi, long *to_start, long *failed)
{
	CURLMsg    *message;
	int			left;
	long		finished = 0;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURL	   *easy = message->easy_handle;
		long		status = 0;

		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		if (message->data.result != CURLE_OK || status / 100 != 2)
			(*failed)++;
		finished++;
		curl_multi_remove_handle(multi, easy);
		if (*to_start > 0)
		{
			(*to_start)--;
			curl_multi_add_handle(multi, easy);
		}
	}
	return finished;
}

int
main(int argc, char **argv)
{
	static char body[MAX_BODY];
	struct curl_slist *headers;
	CURLM	   *multi;
	FILE	   *file;
	size_t		len;
	long		count;
	long		concurrency;
	long		to_start;
	long		finished = 0;
	long		failed = 0;
	int64_t		start;

	if (argc < 5 || (count = atol(argv[3])) <= 0 || (concurrency = atol(argv[4])) <= 0)
	{
		fprintf(stderr, "usage: ceiling URL BODYFILE COUNT CONCURRENCY [HEADER...]\n");
		return 2;
	}
	file = fopen(argv[2], "r");
	if (file == NULL)
		die("could not open the body file");
	len = fread(body, 1, sizeof(body), file);
	fclose(file);

	curl_global_init(CURL_GLOBAL_DEFAULT);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	multi = curl_multi_init();
	headers = curl_slist_append(NULL, "Content-Type: application/json");
	for (int i = 5; i < argc; i++)
		headers = curl_slist_append(headers, argv[i]);
	if (epoll_fd < 0 || multi == NULL || headers == NULL)
		die("out of resources");
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, concurrency);

	start = now_us();
	to_start = count;
	for (long i = 0; i < concurrency && to_start > 0; i++, to_start--)
		curl_multi_add_handle(multi, make_handle(argv[1], body, len, headers));
	while (finished < count)
	{
		turn(multi);
		finished += collect(multi, &to_start, &failed);
	}

	printf("%.0f %.2f\n", count * 1e6 / (now_us() - start), (double) cpu_us() / count);
	if (failed > 0)
		fprintf(stderr, "ceiling: %ld of %ld requests failed\n", failed, count);
	return failed > 0;
}
