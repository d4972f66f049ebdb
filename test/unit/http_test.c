/*-------------------------------------------------------------------------
 *
 * http_test.c
 *		W9, R3, I4, I18, X7, C1: requests to receivers good and bad.
 *
 * The receiver is test/receiver.py, over plain HTTP and over TLS; what it does is
 * asked for in the URL.  Certificates are made with the openssl command.  TEST_DIR is
 * where this file stands.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE				/* RTLD_NEXT */

#include "unit.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#ifdef __linux__
#include <sys/epoll.h>
#endif
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "http/http.h"

#define MAX_RESPONSE	10000
#define LONG_MS			30000L	/* never reached */
#define SHORT_MS		150L
#define BEGUN_MS		1500L	/* by then the receiver has begun to answer,
								 * also on a busy machine */
#define ANY_STATUS		(-1)
#define SLOW_NAME_MS	10000
#define SLOW_NAMES		40

typedef struct Receiver
{
	pid_t		pid;
	int			port;
	int			control;		/* its standard input: closing it ends it */
} Receiver;

/* A result that outlives its transfer. */
typedef struct Answer
{
	HttpOutcome outcome;
	int			status;
	char		error[1024];
	char		headers[MAX_RESPONSE + 1];
	char		body[1024 * 1024];
	size_t		body_len;
	HttpResult	result;			/* headers and body point into this answer */
} Answer;

static char directory[] = "/tmp/http_test.XXXXXX";
static NetguardList loopback;
static NetguardList nothing;
static NetguardList rules;		/* what http goes by */
static Http *http;
static Receiver plain;
static Answer answer;

static void
die(const char *what)
{
	printf("Bail out! %s\n", what);
	exit(EXIT_FAILURE);
}

/*
 * Helpers.
 */
static void
allow(const char *networks, NetguardList *list)
{
	const char *bad;
	size_t		bad_len;

	if (!netguard_parse(networks, list, &bad, &bad_len))
		die("could not parse the list of networks");
}

static void
in_directory(const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", directory, name);
}

static char *
file_content(const char *name)
{
	static char contents[4][16384];
	static int	next;
	char	   *content = contents[next++ % 4];
	char		path[256];
	FILE	   *file;

	in_directory(name, path, sizeof(path));
	file = fopen(path, "r");
	if (file == NULL)
		die("could not open a certificate");
	content[fread(content, 1, sizeof(contents[0]) - 1, file)] = '\0';
	fclose(file);
	return content;
}

/* Start a receiver.  certificate: name of its files, NULL for plain HTTP. */
static Receiver
start_receiver(const char *certificate, bool want_client)
{
	Receiver	receiver = {0};
	char		script[512];
	char		ledger[256];
	char		cert[256];
	char		key[256];
	char		ca[256];
	char		errors[256];
	char		line[32];
	FILE	   *output;
	int			in[2];
	int			out[2];

	snprintf(script, sizeof(script), "%s/../receiver.py", TEST_DIR);
	snprintf(ledger, sizeof(ledger), "%s/ledger_%s%d", directory,
			 certificate ? certificate : "plain", want_client);
	snprintf(cert, sizeof(cert), "%s/%s.crt", directory, certificate ? certificate : "");
	snprintf(key, sizeof(key), "%s/%s.key", directory, certificate ? certificate : "");
	in_directory("ca.crt", ca, sizeof(ca));
	in_directory("errors", errors, sizeof(errors));

	if (pipe(in) != 0 || pipe(out) != 0 || (receiver.pid = fork()) < 0)
		die("could not start the receiver");
	if (receiver.pid == 0)
	{
		char	   *argv[14] = {"python3", script, "--until-eof", "--ledger", ledger};
		int			n = 5;

		if (certificate != NULL)
		{
			argv[n++] = "--tls";
			argv[n++] = cert;
			argv[n++] = key;
		}
		if (want_client)
		{
			argv[n++] = "--client-ca";
			argv[n++] = ca;
		}
		dup2(in[0], 0);
		dup2(out[1], 1);
		(void) !freopen(errors, "a", stderr);
		for (int fd = 3; fd < 256; fd++)
			close(fd);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	receiver.control = in[1];
	output = fdopen(out[0], "r");
	if (output == NULL || fgets(line, sizeof(line), output) == NULL ||
		(receiver.port = atoi(line)) == 0)
		die("the receiver did not start");
	fclose(output);
	return receiver;
}

static void
stop_receiver(Receiver *receiver)
{
	close(receiver->control);
	waitpid(receiver->pid, NULL, 0);
}

/* A POST of a few bytes that the tests change to their liking. */
static HttpRequest
make_request(const char *url)
{
	static const char *const headers[] = {"Content-Type: application/json", "X-Token: a b"};
	HttpRequest request = {
		.method = "POST",
		.url = url,
		.headers = headers,
		.nheaders = lengthof(headers),
		.body = "{\"a\":1}",
		.body_len = 7,
		.timeout_ms = LONG_MS,
		.max_response = MAX_RESPONSE,
	};

	return request;
}

static Http *
create(int max_connections)
{
	char		error[256];
	Http	   *created = http_create(&rules, max_connections, error);

	if (created == NULL)
		die(error);
	return created;
}

/* Wait as the worker does, then let things happen. */
static void
turn(void)
{
	struct pollfd pollfd = {.fd = http_fd(http),.events = POLLIN};

	poll(&pollfd, 1, (int) http_timeout(http));
	if (!http_perform(http))
		die(http_failure(http));
}

static const Answer *
send_request(const HttpRequest *request)
{
	HttpResult	result;
	char		error[256];

	memset(&answer, 0, sizeof(answer));
	if (!http_start(http, request, error))
	{
		answer.outcome = HTTP_INVALID;
		snprintf(answer.error, sizeof(answer.error), "not started: %s", error);
		return &answer;
	}
	while (!http_result(http, &result))
		turn();

	answer.outcome = result.outcome;
	answer.status = result.status;
	snprintf(answer.error, sizeof(answer.error), "%s", result.error);
	snprintf(answer.headers, sizeof(answer.headers), "%s", result.headers);
	snprintf(answer.body, sizeof(answer.body), "%s", result.body);
	answer.body_len = result.body_len;
	answer.result = result;
	answer.result.headers = answer.headers;
	answer.result.body = answer.body;
	http_release(result.transfer);
	return &answer;
}

static const Answer *
send_to(const char *scheme, const char *host, int port, const char *path, long timeout_ms)
{
	char		url[1024];
	HttpRequest request;

	snprintf(url, sizeof(url), "%s://%s:%d%s", scheme, host, port, path);
	request = make_request(url);
	request.timeout_ms = timeout_ms;
	return send_request(&request);
}

static const Answer *
post(const char *path)
{
	return send_to("http", "127.0.0.1", plain.port, path, LONG_MS);
}

/* The outcome by name, and some words of the error. */
static void
is_outcome(const Answer *got, HttpOutcome outcome, int status, const char *words, const char *name)
{
	bool		same = got->outcome == outcome && (got->status == status || status == ANY_STATUS) &&
		strstr(got->error, words) != NULL && (words[0] != '\0' || got->error[0] == '\0');

	if (!ok(same, "%s", name))
		printf("#   got      %s, %d, \"%s\"\n#   expected %s, %d, \"...%s...\"\n",
			   http_outcome_name(got->outcome), got->status, got->error,
			   http_outcome_name(outcome), status, words);
}

/* The last request that the receiver has seen, as a line of JSON. */
static const char *
last_line(void)
{
	char		url[128];
	HttpRequest request;
	char	   *text;
	char	   *line;

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/_ledger", plain.port);
	request = make_request(url);
	request.method = "GET";
	request.max_response = sizeof(answer.body) - 1;
	send_request(&request);

	text = answer.body;

	if (answer.body_len > 0)
		text[answer.body_len - 1] = '\0';

	line = strrchr(text, '\n');
	return line != NULL ? line + 1 : text;
}

static int
last_connection(void)
{
	static const char key[] = "\"connection\": ";
	const char *value = strstr(last_line(), key);

	return value != NULL ? atoi(value + strlen(key)) : -1;
}

static int
listen_on_loopback(int backlog, int *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	len = sizeof(addr);
	int			fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *) &addr, len) != 0 ||
		getsockname(fd, (struct sockaddr *) &addr, &len) != 0 ||
		(backlog >= 0 && listen(fd, backlog) != 0))
		die("could not open a socket");
	*port = ntohs(addr.sin_port);
	return fd;
}

/*
 * Tests.
 */
static void
test_answers(void)
{
	static const struct
	{
		const char *path;
		HttpOutcome outcome;
		int			status;
		const char *words;
	}			cases[] = {
		{"/", HTTP_DELIVERED, 200, ""},
		{"/status/201", HTTP_DELIVERED, 201, ""},
		{"/status/204", HTTP_DELIVERED, 204, ""},
		{"/?status=204&body=unexpected", HTTP_DELIVERED, 204, ""},
		{"/?informational=3", HTTP_DELIVERED, 200, ""},
		{"/?size=9999", HTTP_DELIVERED, 200, ""},
		{"/?drip=1", HTTP_DELIVERED, 200, ""},
		{"/?close=1", HTTP_DELIVERED, 200, ""},
		{"/?status=301&location=http://elsewhere.test/x", HTTP_REDIRECT, 301, "Location: http://elsewhere.test/x"},
		{"/status/302", HTTP_REDIRECT, 302, "302"},
		{"/status/304", HTTP_REDIRECT, 304, "304"},
		{"/status/404", HTTP_CLIENT_ERROR, 404, "404"},
		{"/status/410", HTTP_CLIENT_ERROR, 410, "410"},
		{"/status/500", HTTP_SERVER_ERROR, 500, "500"},
		{"/status/999", HTTP_SERVER_ERROR, 999, "999"},
		{"/?reset=1", HTTP_RESET, 0, "connection lost while waiting for the response"},
		{"/?size=10001", HTTP_TOO_LARGE, 200, "response larger than 10000 bytes"},
		{"/?endless=1", HTTP_TOO_LARGE, 200, "response larger than 10000 bytes"},
		{"/?headers=20000", HTTP_TOO_LARGE, 200, "response larger than 10000 bytes"},
		{"/?headers=10000000", HTTP_TOO_LARGE, 200, "response larger than 10000 bytes"},
		{"/?informational=300", HTTP_TOO_LARGE, 103, "response larger than 10000 bytes"},
		{"/?gzip_bomb=1", HTTP_DELIVERED, 200, ""},
		{"/?gzip_bomb=50", HTTP_TOO_LARGE, 200, "response larger than 10000 bytes"},
		{"/?broken=status", HTTP_PROTOCOL, 0, "invalid HTTP response"},
		{"/?broken=length", HTTP_PROTOCOL, 200, "invalid HTTP response"},
		{"/?broken=chunk", HTTP_PROTOCOL, 200, "invalid HTTP response"},
		{"/?broken=header", HTTP_PROTOCOL, 200, "invalid HTTP response"},
		{"/?broken=short", HTTP_RESET, 200, "connection lost while receiving the response"},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		char		name[128];

		snprintf(name, sizeof(name), "R3 %s", cases[i].path);
		is_outcome(post(cases[i].path), cases[i].outcome, cases[i].status, cases[i].words, name);
		is_outcome(post("/after"), HTTP_DELIVERED, 200, "", "R3 and the next one is delivered");
	}
}

static void
test_timeouts(void)
{
	const int	port = plain.port;
	int			silent_port;
	int			silent = listen_on_loopback(8, &silent_port);
	int			full_port;
	int			full = listen_on_loopback(0, &full_port);
	int			fillers[4];

	is_outcome(send_to("http", "127.0.0.1", port, "/?hang=before", SHORT_MS), HTTP_TIMEOUT, 0,
			   "timeout while waiting for the response", "R3 hang before the response");
	is_outcome(send_to("http", "127.0.0.1", port, "/?hang=headers", BEGUN_MS), HTTP_TIMEOUT, 200,
			   "timeout while receiving the response", "R3 hang inside of the headers");
	is_outcome(send_to("http", "127.0.0.1", port, "/?hang=body", BEGUN_MS), HTTP_TIMEOUT, 200,
			   "timeout while receiving the response", "R3 hang inside of the body");
	is_outcome(send_to("http", "127.0.0.1", port, "/?drip=20", SHORT_MS), HTTP_TIMEOUT, ANY_STATUS,
			   "timeout while", "R3 W9 a dripping response is bounded in time");
	is_outcome(send_to("http", "127.0.0.1", silent_port, "/", SHORT_MS), HTTP_TIMEOUT, 0,
			   "timeout while waiting for the response", "R3 a receiver that never reads");
	is_outcome(send_to("https", "127.0.0.1", silent_port, "/", 4 * SHORT_MS), HTTP_TIMEOUT, 0,
			   "timeout while negotiating TLS", "R3 a receiver that never answers the handshake");

	/* A queue that is full takes no more connections. */
	for (size_t i = 0; i < lengthof(fillers); i++)
	{
		struct sockaddr_in addr = {.sin_family = AF_INET,.sin_port = htons(full_port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void) !connect(fillers[i], (struct sockaddr *) &addr, sizeof(addr));
	}
	is_outcome(send_to("http", "127.0.0.1", full_port, "/", SHORT_MS), HTTP_TIMEOUT, 0,
			   "timeout while connecting", "R3 a host that does not answer");
	for (size_t i = 0; i < lengthof(fillers); i++)
		close(fillers[i]);
	close(full);
	close(silent);
}

static void
test_no_connection(void)
{
	int			port;
	int			fd = listen_on_loopback(-1, &port);

	is_outcome(send_to("http", "127.0.0.1", port, "/", LONG_MS), HTTP_REFUSED, 0,
			   "connection refused", "R3 a closed port");
	close(fd);

	/*
	 * A label of more than 63 characters does not get as far as a name
	 * server.
	 */
	is_outcome(send_to("http", "a123456789a123456789a123456789a123456789a123456789a123456789a123456789.invalid",
					   80, "/", LONG_MS), HTTP_UNRESOLVED, 0,
			   "could not resolve host \"a1234567", "R3 an unknown host");
}

static void
test_invalid(void)
{
	HttpRequest request;

	request = make_request("ftp://127.0.0.1/");
	is_outcome(send_request(&request), HTTP_INVALID, 0, "rotocol", "W9 only http and https");
	request = make_request("file:///etc/passwd");
	is_outcome(send_request(&request), HTTP_INVALID, 0, "rotocol", "W9 no files");
	request = make_request("http://user:password@127.0.0.1/");
	is_outcome(send_request(&request), HTTP_INVALID, 0, "not started", "W9 no credentials in the URL");
	request = make_request("http://");
	is_outcome(send_request(&request), HTTP_INVALID, 0, "not started", "W9 no host");
	request = make_request("http://127.0.0.1/");
	request.method = "CONNECT";
	is_outcome(send_request(&request), HTTP_INVALID, 0, "unknown method", "W9 no other methods");
}

static void
test_guard(void)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0"};

	rules = nothing;
	is_outcome(post("/"), HTTP_FORBIDDEN_ADDRESS, 0, "address 127.0.0.1 is not allowed",
			   "W9 a kept connection is subject to new rules");
	http_forget_connections(http);
	for (size_t i = 0; i < lengthof(hosts); i++)
	{
		char		name[64];

		snprintf(name, sizeof(name), "W9 R7 the guard refuses %s", hosts[i]);
		is_outcome(send_to("http", hosts[i], plain.port, "/", LONG_MS), HTTP_FORBIDDEN_ADDRESS, 0,
				   "is not allowed", name);
	}
	rules = loopback;
	is_outcome(send_to("http", "localhost", plain.port, "/", LONG_MS), HTTP_DELIVERED, 200, "",
			   "W9 and lets through what is allowed");
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	http_forget_connections(http);
	is_outcome(post("/"), HTTP_DELIVERED, 200, "", "W9 the environment's proxies are ignored");
	unsetenv("http_proxy");
	unsetenv("all_proxy");
}

/* What libcurl was told last about the authorities of the proxy: their file, and a directory of others. */
static char proxy_authorities[64];
static bool proxy_other_authorities = true;

#undef curl_easy_setopt
CURLcode
curl_easy_setopt(CURL *easy, CURLoption option,...)
{
	static CURLcode (*library_function) (CURL *, CURLoption,...);
	va_list		args;
	CURLcode	rc;

	if (library_function == NULL)
		*(void **) &library_function = dlsym(RTLD_NEXT, "curl_easy_setopt");
	va_start(args, option);
	if (option < CURLOPTTYPE_OBJECTPOINT)
		rc = library_function(easy, option, va_arg(args, long));
	else if (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB)
		rc = library_function(easy, option, va_arg(args, curl_off_t));
	else
	{
		void	   *value = va_arg(args, void *);

		if (option == CURLOPT_PROXY_CAINFO)
			snprintf(proxy_authorities, sizeof(proxy_authorities), "%s", (char *) value);
		if (option == CURLOPT_PROXY_CAPATH)
			proxy_other_authorities = value != NULL;
		rc = library_function(easy, option, value);
	}
	va_end(args);
	return rc;
}

/* A proxy's own authorities replace those of the system, of which libcurl has both a file and a directory. */
static void
test_proxy_authorities(void)
{
	static ProxyServer server;
	static ProxyExceptions exceptions;
	HttpProxy	proxy = {.server = &server,.exceptions = &exceptions,.ca_file = "/own.crt"};

	if (proxy_parse("https://127.0.0.1:1", &server) != NULL || !http_use_proxy(http, &proxy))
		die("the proxy is not used");
	is_outcome(post("/"), HTTP_PROXY, 0, "proxy https://127.0.0.1:1", "X7 a proxy that is reached by TLS");
	is_text(proxy_authorities, "/own.crt", "X7 ... with authorities of its own");
	ok(!proxy_other_authorities, "X7 ... and no others");
	memset(&server, 0, sizeof(server));
	proxy.ca_file = "";
	(void) http_use_proxy(http, &proxy);
}

/* When we have no descriptor left, that is neither the proxy's fault nor does it look like the receiver's. */
static void
test_no_descriptors(void)
{
	static ProxyServer server;
	static ProxyExceptions exceptions;
	HttpProxy	proxy = {.server = &server,.exceptions = &exceptions,.ca_file = ""};
	const char *const words = "could not open a socket: Too many open files";
	struct rlimit limit;
	struct rlimit low;

	http_forget_connections(http);
	getrlimit(RLIMIT_NOFILE, &limit);
	low = limit;
	low.rlim_cur = STDERR_FILENO + 1;
	setrlimit(RLIMIT_NOFILE, &low);
	is_outcome(post("/"), HTTP_REFUSED, 0, words, "X7 without descriptors");
	if (proxy_parse("http://127.0.0.1:1", &server) != NULL || !http_use_proxy(http, &proxy))
		die("the proxy is not used");
	is_outcome(post("/"), HTTP_REFUSED, 0, words, "X7 ... with a proxy, which is not suspected");
	setrlimit(RLIMIT_NOFILE, &limit);
	is_outcome(post("/"), HTTP_PROXY, 0, "proxy http://127.0.0.1:1", "X7 ... but it is when it refuses to connect");
	memset(&server, 0, sizeof(server));
	(void) http_use_proxy(http, &proxy);
	is_outcome(post("/"), HTTP_DELIVERED, 200, "", "X7 ... and nothing is wrong without it");
}

#ifdef __linux__

/* mux.c calls this instead of the system's function. */
static bool no_watches;

int
epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
	static int	(*system_function) (int, int, int, struct epoll_event *);

	if (no_watches && operation == EPOLL_CTL_ADD)
	{
		errno = ENOSPC;
		return -1;
	}
	if (system_function == NULL)
		*(void **) &system_function = dlsym(RTLD_NEXT, "epoll_ctl");
	return system_function(set, operation, fd, event);
}

/* When a socket cannot be watched, its request must not end as if the receiver had not answered. */
static void
test_no_watches(void)
{
	Http	   *tested = http;
	HttpRequest request;
	HttpResult	result;
	char		url[64];
	char		error[256];
	bool		good;

	http = create(1);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", plain.port);
	request = make_request(url);
	request.timeout_ms = SHORT_MS;
	no_watches = true;
	if (!http_start(http, &request, error))
		die(error);
	do
	{
		struct pollfd pollfd = {.fd = http_fd(http),.events = POLLIN};

		poll(&pollfd, 1, (int) http_timeout(http));
		good = http_perform(http);
	} while (good && !http_result(http, &result));
	no_watches = false;
	ok(!good, "R3 a socket that cannot be watched is not the receiver's fault");
	is_text(http_failure(http), "could not watch a socket: No space left on device", "R3 ... and the reason is reported");
	http_destroy(http);
	http = tested;
	is_outcome(post("/"), HTTP_DELIVERED, 200, "", "R3 ... other requests are not affected");
}
#endif

static void
test_methods(void)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
	char		url[128];
	char		expected[128];
	HttpRequest request;

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/method", plain.port);

	/* Twice, because handles remember. */
	for (size_t i = 0; i < 2 * lengthof(methods); i++)
	{
		const char *method = methods[i % lengthof(methods)];
		const char *line;
		bool		with_body = strcmp(method, "GET") != 0;

		request = make_request(url);
		request.method = method;
		is_outcome(send_request(&request), HTTP_DELIVERED, 200, "", method);

		line = last_line();
		snprintf(expected, sizeof(expected), "\"method\": \"%s\"", method);
		ok(strstr(line, expected) != NULL, "I4 %s arrives", method);
		ok(strstr(line, "\"x-token\": \"a b\"") != NULL, "I4 %s: with its header", method);
		ok((strstr(line, "\"body\": \"{\\\"a\\\":1}\"") != NULL) == with_body,
		   "I4 %s: %s body", method, with_body ? "with its" : "without");
	}

	request = make_request(url);
	request.method = "DELETE";
	request.body = NULL;
	request.body_len = 0;
	is_outcome(send_request(&request), HTTP_DELIVERED, 200, "", "I4 DELETE without a body");
	ok(strstr(last_line(), "content-length") == NULL, "I4 and without a length");
	request.method = "PUT";
	is_outcome(send_request(&request), HTTP_DELIVERED, 200, "", "I4 PUT with an empty body");
	ok(strstr(last_line(), "\"content-length\": \"0\"") != NULL, "I4 and length 0");
}

static void
test_large_body(void)
{
	size_t		len = 3 * 1024 * 1024;
	char	   *body = malloc(len);
	char		url[128];
	HttpRequest request;

	memset(body, 'x', len);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/large", plain.port);
	request = make_request(url);
	request.body = body;
	request.body_len = len;
	is_outcome(send_request(&request), HTTP_DELIVERED, 200, "", "I4 a body of 3 MB");
	free(body);
	post("/_reset");			/* the ledger would be too long to read */
}

static void
test_response_headers(void)
{
	const Answer *got = post("/?retry_after=120&informational=1");
	char		value[64];

	ok(http_header(&got->result, "retry-after", value, sizeof(value)), "W4 the Retry-After header is found");
	is_text(value, "120", "W4 and has its value");
	ok(!http_header(&got->result, "link", value, sizeof(value)), "R3 headers of interim responses are not kept");
	ok(!http_header(&got->result, "retry-after", value, 3), "W4 a value that does not fit is none");
	ok(!http_header(&got->result, "retry", value, sizeof(value)), "W4 nor does the beginning of a name count");
	is_text(got->body, "ok", "E7 the body is there");
	got = post("/?retry_after=2592000");
	ok(http_header(&got->result, "retry-after", value, sizeof(value)), "W4 a Retry-After of 30 days is found");
	is_text(value, "2592000", "W4 and not cut short, as libcurl does it");
}

/*
 * libcurl changes paths with dots by default, and from 8.14 on also if the dots
 * are encoded.  Since 8.23 it writes escapes in capitals, whatever it is told.
 */
static void
test_path(void)
{
	static const char path[] = "/a/../b/%2E%2E/./c/%2E/..";

	post(path);
	ok(strstr(last_line(), "\"path\": \"/a/../b/%2E%2E/./c/%2E/..\"") != NULL, "W9 the path is sent as it is: %s", path);
}

static void
test_keep_alive(void)
{
	int			connection;

	post("/one");
	connection = last_connection();
	post("/two");
	is_int(last_connection(), connection, "W5 a connection is used again");

	http_forget_connections(http);
	is_outcome(post("/three"), HTTP_DELIVERED, 200, "", "W5 a kept connection that is closed costs nothing");
	ok(last_connection() != connection, "W9 but not when connections have been forgotten");

	is_outcome(post("/?drop_next=1"), HTTP_DELIVERED, 200, "", "R3 the receiver will close the connection");
	connection = last_connection();
	is_outcome(post("/again"), HTTP_DELIVERED, 200, "", "R3 a POST on a connection closed under it is sent again");
	ok(last_connection() != connection, "R3 over a new one");
}

/* Wait until the receiver has sent so many, with connections other than the tested ones. */
static void
wait_for_strays(const char *scheme, int port, const char *ca, size_t count)
{
	Http	   *tested = http;
	char		url[128];
	HttpRequest request;

	http = create(1);
	snprintf(url, sizeof(url), "%s://127.0.0.1:%d/_wait?path=/_stray&count=%zu", scheme, port, count);
	request = make_request(url);
	request.method = "GET";
	request.ca_cert = ca;
	if (send_request(&request)->status != 200)
		die("the receiver has sent nothing unasked");
	http_destroy(http);
	http = tested;
}

/* Bytes that arrive over an idle connection are no answer to the request that comes next. */
static void
test_stray_bytes(const char *scheme, int port, const char *ca)
{
	static const char *const strays[] = {
		"HTTP/1.1%20200%20OK%0D%0AContent-Length:%200%0D%0A%0D%0A",
		"HTTP/1.1%20400%20Bad%20Request%0D%0AContent-Length:%200%0D%0A%0D%0A",
		"HTTP/1.1%20408%20Request%20Timeout%0D%0AConnection:%20close%0D%0A%0D%0A&close=1",
		"0%0D%0A%0D%0A&status=204",
		"x",
	};

	for (size_t i = 0; i < lengthof(strays); i++)
	{
		char		url[512];
		HttpRequest request;

		snprintf(url, sizeof(url), "%s://127.0.0.1:%d/?stray=%s", scheme, port, strays[i]);
		request = make_request(url);
		request.ca_cert = ca;
		send_request(&request);
		wait_for_strays(scheme, port, ca, i + 1);
		snprintf(url, sizeof(url), "%s://127.0.0.1:%d/status/503", scheme, port);
		is_outcome(send_request(&request), HTTP_SERVER_ERROR, 503, "503", "C1 the answer is the request's own");

		snprintf(url, sizeof(url), "%s://127.0.0.1:%d/?excess=%s", scheme, port, strays[i]);
		send_request(&request);
		snprintf(url, sizeof(url), "%s://127.0.0.1:%d/status/503", scheme, port);
		is_outcome(send_request(&request), HTTP_SERVER_ERROR, 503, "503", "C1 and so it is behind an answer that is too long");
	}
}

static void
test_parallel(void)
{
	enum
	{
		REQUESTS = 2000, AT_ONCE = 200
	};
	char		url[128];
	char		error[256];
	HttpRequest request;
	HttpResult	result;
	int			started = 0;
	int			delivered = 0;
	bool		most = false;

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/parallel", plain.port);
	request = make_request(url);
	while (delivered < REQUESTS)
	{
		while (started < REQUESTS && started - delivered < AT_ONCE)
		{
			if (!http_start(http, &request, error))
				die(error);
			started++;
		}
		most |= started - delivered == AT_ONCE;
		turn();
		while (http_result(http, &result))
		{
			if (result.outcome != HTTP_DELIVERED)
				die(result.error);
			delivered++;
			http_release(result.transfer);
		}
	}
	ok(most, "P1 %d requests at once", AT_ONCE);
	is_int(delivered, REQUESTS, "P1 all of them are delivered");
	ok(!http_result(http, &result), "P1 none is left over");

	/*
	 * Some releases of libcurl do not look at each of them before they use
	 * one.
	 */
	http_forget_connections(http);
	is_outcome(post("/"), HTTP_DELIVERED, 200, "", "W5 however many kept connections are closed");
}

/* The process is stopped for longer than its requests may take, and half of the answers arrive meanwhile. */
static void
test_stopped(void)
{
	enum
	{
		REQUESTS = 300
	};
	char		answered[128];
	char		unanswered[128];
	char		error[256];
	HttpRequest request;
	HttpResult	result;
	int			outcomes[HTTP_INVALID + 1] = {0};

	snprintf(answered, sizeof(answered), "http://127.0.0.1:%d/?delay=500", plain.port);
	snprintf(unanswered, sizeof(unanswered), "http://127.0.0.1:%d/?hang=before", plain.port);
	for (int i = 0; i < REQUESTS; i++)
	{
		request = make_request(i % 2 ? answered : unanswered);
		request.timeout_ms = BEGUN_MS;
		if (!http_start(http, &request, error))
			die(error);
	}
	for (int i = 0; i < 20; i++)
		turn();
	poll(NULL, 0, (int) (BEGUN_MS + BEGUN_MS / 2));
	for (int i = 0; i < REQUESTS; i++)
	{
		while (!http_result(http, &result))
			turn();
		outcomes[result.outcome]++;
		http_release(result.transfer);
	}
	is_int(outcomes[HTTP_DELIVERED], REQUESTS / 2, "C42 what was answered while we stood still has been delivered");
	is_int(outcomes[HTTP_TIMEOUT], REQUESTS / 2, "C42 the rest has run out of time");
}

/*
 * Names.  libcurl calls this instead of the system's function: names of "slow" hosts are not found before the pipe is
 * closed or a while has passed, and "fast" is this machine.
 */
static int	slow_names[2];

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	static int	(*system_function) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (strncmp(node, "slow", 4) == 0)
	{
		struct pollfd pollfd = {.fd = slow_names[0],.events = POLLIN};

		poll(&pollfd, 1, SLOW_NAME_MS);
		return EAI_AGAIN;
	}
	if (system_function == NULL)
		*(void **) &system_function = dlsym(RTLD_NEXT, "getaddrinfo");
	return system_function(strcmp(node, "fast.test") == 0 ? "127.0.0.1" : node, service, hints, result);
}

static double
seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void
test_slow_names(void)
{
	Http	   *all = http;
	char		urls[SLOW_NAMES][64];
	char		error[256];
	double		started;
	int			begun = 0;

	if (pipe(slow_names) != 0)
		die("could not make a pipe");
	http = create(SLOW_NAMES + 1);
	for (int i = 0; i < SLOW_NAMES; i++)
	{
		HttpRequest request;

		snprintf(urls[i], sizeof(urls[i]), "http://slow%d.test/", i);
		request = make_request(urls[i]);
		begun += http_start(http, &request, error);
	}
	is_int(begun, SLOW_NAMES, "R6 names that are looked up for long");
	started = seconds_now();
	is_outcome(send_to("http", "fast.test", plain.port, "/", LONG_MS), HTTP_DELIVERED, 200, "", "R6 delay no other");
	ok(seconds_now() - started < SLOW_NAME_MS / 2000.0, "R6 so it is delivered at once");
	started = seconds_now();
	http_destroy(http);
	ok(seconds_now() - started < SLOW_NAME_MS / 2000.0, "W13 nor the end");
	close(slow_names[1]);
	http = all;
}

/*
 * TLS.
 */
static void
make_certificate(const char *name, const char *validity, const char *extension)
{
	char		command[2048];

	snprintf(command, sizeof(command), "cd %s && sh %s/../certificate %s ca %s '%s' 2>/dev/null",
			 directory, TEST_DIR, name, validity, extension);
	if (system(command) != 0)
		die("could not make a certificate");
}

static void
make_certificates(void)
{
	char		command[1024];

	snprintf(command, sizeof(command),
			 "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
			 " -keyout ca.key -out ca.crt -days 2 -subj /CN=authority 2>/dev/null", directory);
	if (system(command) != 0)
		die("could not make a certificate authority");
	make_certificate("good", "valid", "subjectAltName=DNS:localhost,IP:127.0.0.1");
	make_certificate("other", "valid", "subjectAltName=DNS:other.test");
	make_certificate("expired", "expired", "subjectAltName=IP:127.0.0.1");
	make_certificate("client", "valid", "extendedKeyUsage=clientAuth");
}

static const Answer *
post_tls(const Receiver *receiver, const char *ca, const char *cert, const char *key)
{
	char		url[128];
	HttpRequest request;

	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", receiver->port);
	request = make_request(url);
	request.ca_cert = ca;
	request.client_cert = cert;
	request.client_key = key;
	return send_request(&request);
}

static void
test_tls(void)
{
	Receiver	good = start_receiver("good", false);
	Receiver	other = start_receiver("other", false);
	Receiver	expired = start_receiver("expired", false);
	char	   *ca = file_content("ca.crt");

	is_outcome(post_tls(&good, NULL, NULL, NULL), HTTP_TLS, 0, "certificate", "I18 R3 an unknown authority is refused");
	is_outcome(post_tls(&good, ca, NULL, NULL), HTTP_DELIVERED, 200, "", "I18 and accepted when it is the webhook's own");
	is_outcome(post_tls(&good, NULL, NULL, NULL), HTTP_TLS, 0, "certificate", "I18 which counts for this webhook alone");
	is_outcome(post_tls(&good, "nonsense", NULL, NULL), HTTP_TLS, 0, "TLS", "I18 an authority that is none");
	test_stray_bytes("https", good.port, ca);
	is_outcome(post_tls(&other, ca, NULL, NULL), HTTP_TLS, 0, "name", "R3 wrong host name");
	is_outcome(post_tls(&expired, ca, NULL, NULL), HTTP_TLS, 0, "expired", "R3 expired certificate");
	is_outcome(post("/after"), HTTP_DELIVERED, 200, "", "R3 and the next one is delivered");

	stop_receiver(&good);
	stop_receiver(&other);
	stop_receiver(&expired);
}

static void
test_two_way_tls(void)
{
	Receiver	receiver = start_receiver("good", true);
	char	   *ca = file_content("ca.crt");
	char	   *cert = file_content("client.crt");
	char	   *key = file_content("client.key");

	is_outcome(post_tls(&receiver, ca, cert, key), HTTP_DELIVERED, 200, "", "I18 with the client's certificate");
	ok(post_tls(&receiver, ca, NULL, NULL)->outcome != HTTP_DELIVERED, "I18 not without, over any connection");
	is_outcome(post_tls(&receiver, ca, cert, key), HTTP_DELIVERED, 200, "", "I18 with it again");
	is_outcome(post_tls(&receiver, ca, cert, file_content("good.key")), HTTP_TLS, 0, "TLS", "I18 nor with a key of another");
	is_outcome(post_tls(&receiver, ca, "nonsense", key), HTTP_TLS, 0, "TLS", "I18 nor with a certificate that is none");
	stop_receiver(&receiver);
}

int
main(void)
{
	char		command[256];

	signal(SIGPIPE, SIG_IGN);
	alarm(120);					/* for a test that hangs */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (mkdtemp(directory) == NULL)
		die("could not make a directory");
	allow("127.0.0.0/8, ::1", &loopback);
	rules = loopback;
	plain = start_receiver(NULL, false);
	make_certificates();
	http = create(100);

	test_answers();
	test_timeouts();
	test_no_connection();
	test_invalid();
	test_guard();
	test_proxy_authorities();
	test_no_descriptors();
#ifdef __linux__
	test_no_watches();
#endif
	test_methods();
	test_large_body();
	test_response_headers();
	test_path();
	test_keep_alive();
	test_stray_bytes("http", plain.port, NULL);
	test_parallel();
	test_stopped();
	test_tls();
	test_two_way_tls();
	test_slow_names();

	http_destroy(http);
	stop_receiver(&plain);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	(void) !system(command);
	return done();
}
