/*-------------------------------------------------------------------------
 *
 * mux.c
 *		Many sockets and a timer behind one file descriptor.
 *
 * The descriptor is an epoll instance on Linux and a kqueue elsewhere; a PostgreSQL
 * WaitEventSet can wait for it like for any socket.  The timer is just stored; the
 * caller, which waits with a timeout anyway, asks for the time left.
 *
 * libcurl stops watching a connection when a request ends, and watches it again for
 * the next one.  Passing that on would take two system calls per request, a large
 * part of the cost of a small request.  So a socket that is watched for reading only
 * remains in the kernel's set when its owner stops watching it.  Idle connections
 * are silent; if one is not (the peer has closed it, or sends unsolicited data),
 * mux_poll() removes it then.  For this, the mux must know when descriptors are closed and
 * reused, hence mux_opened() and mux_closed().  Descriptors that were not announced
 * are always removed at once.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/epoll.h>
#else
#include <sys/types.h>
#include <sys/event.h>
#endif

#include "http/mux.h"

#define MUX_EVENTS	256			/* maximum fetched by one system call */
#define MUX_NO_TIMER	INT64_MAX

typedef struct MuxSocket
{
	unsigned char wanted;		/* by the owner */
	unsigned char registered;	/* in the kernel's set; superset of wanted */
	bool		announced;
	bool		silent;			/* must be silent while it is not watched for
								 * reading */
} MuxSocket;

struct Mux
{
	int			fd;
	int64_t		deadline;		/* microseconds on the monotonic clock */
	MuxSocket  *sockets;		/* indexed by descriptor */
	int			nsockets;
};

static bool mux_kernel_open(Mux *mux);
static bool mux_kernel_register(Mux *mux, int fd, int before, int after);
static int	mux_kernel_fetch(Mux *mux, MuxEvent *events, int max);

Mux *
mux_create(void)
{
	Mux		   *mux = calloc(1, sizeof(Mux));

	if (mux == NULL)
		return NULL;
	mux->deadline = MUX_NO_TIMER;
	if (!mux_kernel_open(mux))
	{
		int			error = errno;

		free(mux);
		errno = error;
		return NULL;
	}
	return mux;
}

void
mux_destroy(Mux *mux)
{
	if (mux == NULL)
		return;
	close(mux->fd);
	free(mux->sockets);
	free(mux);
}

int
mux_fd(const Mux *mux)
{
	return mux->fd;
}

/* Enlarge the table for fd if necessary. */
static bool
mux_reserve_socket(Mux *mux, int fd)
{
	MuxSocket  *sockets;
	int			nsockets = mux->nsockets > 0 ? mux->nsockets : 64;

	if (fd < mux->nsockets)
		return true;

	while (nsockets <= fd)
		nsockets *= 2;
	sockets = realloc(mux->sockets, sizeof(MuxSocket) * nsockets);
	if (sockets == NULL)
		return false;

	memset(sockets + mux->nsockets, 0, sizeof(MuxSocket) * (nsockets - mux->nsockets));
	mux->sockets = sockets;
	mux->nsockets = nsockets;
	return true;
}

bool
mux_opened(Mux *mux, int fd)
{
	if (!mux_reserve_socket(mux, fd))
		return false;

	/* A new descriptor is not in the kernel's set, even if its number was. */
	memset(&mux->sockets[fd], 0, sizeof(MuxSocket));
	mux->sockets[fd].announced = true;
	return true;
}

void
mux_closed(Mux *mux, int fd)
{
	/* The kernel removes a descriptor when it is closed. */
	if (fd < mux->nsockets)
		memset(&mux->sockets[fd], 0, sizeof(MuxSocket));
}

void
mux_expect_silence(Mux *mux, int fd)
{
	if (fd < 0 || fd >= mux->nsockets || !mux->sockets[fd].announced)
		return;
	mux->sockets[fd].silent = true;

	/* If the response was complete at once, it was never watched for reading. */
	if (mux->sockets[fd].wanted == 0)
		mux_watch(mux, fd, 0);
}

bool
mux_watch(Mux *mux, int fd, int what)
{
	MuxSocket  *socket;

	if (!mux_reserve_socket(mux, fd))
		return false;
	socket = &mux->sockets[fd];

	socket->wanted = what;
	if (socket->announced)
	{
		/*
		 * It remains in the set, see above, or is added to check that it is
		 * silent.
		 */
		if (what == 0 && (socket->silent || socket->registered == MUX_READ))
			what = MUX_READ;
		if (socket->registered == what)
			return true;
	}

	if (!mux_kernel_register(mux, fd, socket->registered, what))
		return false;
	socket->registered = what;
	return true;
}

static bool
mux_has_input(int fd)
{
	char		byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Handle an event of a socket that is not watched. */
static void
mux_leave_alone(Mux *mux, int fd)
{
	MuxSocket  *socket = &mux->sockets[fd];

	if (socket->silent && mux_has_input(fd))
		shutdown(fd, SHUT_RDWR);
	if (mux_kernel_register(mux, fd, socket->registered, 0))
		socket->registered = 0;
}

int
mux_poll(Mux *mux, MuxEvent *events, int max)
{
	int			fetched = mux_kernel_fetch(mux, events, max);
	int			wanted = 0;

	for (int i = 0; i < fetched; i++)
	{
		if (mux->sockets[events[i].fd].wanted != 0)
			events[wanted++] = events[i];
		else
			mux_leave_alone(mux, events[i].fd);
	}
	return wanted;
}

void
mux_shutdown_idle(Mux *mux)
{
	for (int fd = 0; fd < mux->nsockets; fd++)
	{
		if (mux->sockets[fd].announced && mux->sockets[fd].wanted == 0)
			shutdown(fd, SHUT_RDWR);
	}
}

int64_t
mux_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void
mux_set_timer(Mux *mux, long milliseconds)
{
	if (milliseconds < 0)
		mux->deadline = MUX_NO_TIMER;
	else if (milliseconds == 0)
		mux->deadline = 0;		/* long past */
	else
		mux->deadline = mux_now_us() + (int64_t) milliseconds * 1000;
}

long
mux_timer_left(const Mux *mux)
{
	int64_t		left;

	if (mux->deadline == MUX_NO_TIMER)
		return -1;
	if (mux->deadline == 0)
		return 0;
	left = mux->deadline - mux_now_us();
	return left > 0 ? (long) ((left + 999) / 1000) : 0;
}

/*
 * What differs between the kernels.
 *
 * mux_kernel_register() changes the registration of fd from before to after.  What
 * is known as "before" may be wrong for a socket that was not announced, which
 * may have been closed and opened again meanwhile.
 */
#ifdef __linux__

static bool
mux_kernel_open(Mux *mux)
{
	mux->fd = epoll_create1(EPOLL_CLOEXEC);
	return mux->fd >= 0;
}

static bool
mux_kernel_register(Mux *mux, int fd, int before, int after)
{
	struct epoll_event event = {0};

	event.data.fd = fd;
	if (after & MUX_READ)
		event.events |= EPOLLIN;
	if (after & MUX_WRITE)
		event.events |= EPOLLOUT;

	if (after == 0)
		return before == 0 || epoll_ctl(mux->fd, EPOLL_CTL_DEL, fd, &event) == 0 ||
			errno == ENOENT || errno == EBADF;
	if (before == 0)
		return epoll_ctl(mux->fd, EPOLL_CTL_ADD, fd, &event) == 0 ||
			(errno == EEXIST && epoll_ctl(mux->fd, EPOLL_CTL_MOD, fd, &event) == 0);
	return epoll_ctl(mux->fd, EPOLL_CTL_MOD, fd, &event) == 0 ||
		(errno == ENOENT && epoll_ctl(mux->fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

static int
mux_kernel_fetch(Mux *mux, MuxEvent *events, int max)
{
	struct epoll_event ready[MUX_EVENTS];
	int			n = epoll_wait(mux->fd, ready, max < MUX_EVENTS ? max : MUX_EVENTS, 0);

	for (int i = 0; i < n; i++)
	{
		events[i].fd = ready[i].data.fd;
		events[i].what = 0;
		if (ready[i].events & (EPOLLIN | EPOLLHUP))
			events[i].what |= MUX_READ;
		if (ready[i].events & EPOLLOUT)
			events[i].what |= MUX_WRITE;
		if (ready[i].events & EPOLLERR)
			events[i].what |= MUX_ERROR;
	}
	return n > 0 ? n : 0;
}

#else

static bool
mux_kernel_open(Mux *mux)
{
	mux->fd = kqueue();
	return mux->fd >= 0;
}

static bool
mux_kernel_register(Mux *mux, int fd, int before, int after)
{
	static const struct
	{
		int			what;
		int			filter;
	}			filters[] = {{MUX_READ, EVFILT_READ}, {MUX_WRITE, EVFILT_WRITE}};
	bool		ok = true;

	for (int i = 0; i < 2; i++)
	{
		struct kevent change;
		bool		add = (after & filters[i].what) != 0;

		/* Adding twice is harmless, and so is deleting what is not there. */
		if (!add && (before & filters[i].what) == 0)
			continue;
		EV_SET(&change, fd, filters[i].filter, add ? EV_ADD : EV_DELETE, 0, 0, 0);

		/*
		 * If a signal interrupts it, the change has been made; deleting what
		 * is gone is not an error.
		 */
		if (kevent(mux->fd, &change, 1, NULL, 0, NULL) < 0 && add && errno != EINTR)
			ok = false;
	}
	return ok;
}

static int
mux_kernel_fetch(Mux *mux, MuxEvent *events, int max)
{
	struct kevent ready[MUX_EVENTS];
	struct timespec no_wait = {0, 0};
	int			n = kevent(mux->fd, NULL, 0, ready, max < MUX_EVENTS ? max : MUX_EVENTS, &no_wait);

	for (int i = 0; i < n; i++)
	{
		events[i].fd = (int) ready[i].ident;
		events[i].what = ready[i].filter == EVFILT_WRITE ? MUX_WRITE : MUX_READ;
		if (ready[i].flags & EV_ERROR)
			events[i].what |= MUX_ERROR;
	}
	return n > 0 ? n : 0;
}

#endif
