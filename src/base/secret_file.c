/*-------------------------------------------------------------------------
 *
 * secret_file.c
 *		Secrets that stand in a file: "file:name" in place of the value.
 *
 * What is in the database can be read by superusers and is in every dump.  A
 * header's value, a signing secret, a certificate or its key can stand in a
 * file instead, which the worker reads when it loads the webhook.  The files
 * are below webhook.secrets_directory, and the first part of their name is a
 * role: "file:alice/token" is for alice and members of her role.  So no role
 * can have somebody else's secret sent to a receiver of its own.  The
 * superuser's webhooks may name any file there.
 *
 * Symbolic links are followed as long as they stay in the directory and lead
 * to a file that the role could have named.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "utils/acl.h"

#include "base/secret_file.h"
#include "base/settings.h"

#define PREFIX			"file:"
#define MAX_NAME		255
#define MAX_FILE_SIZE	(256 * 1024)

/* A directory that may be passed through need not be one that may be listed. */
#ifdef O_PATH
#define PASS_THROUGH	(O_PATH | O_DIRECTORY)
#else
#define PASS_THROUGH	(O_RDONLY | O_DIRECTORY)
#endif


bool
secret_file_is_reference(const char *value)
{
	return strncmp(value, PREFIX, strlen(PREFIX)) == 0;
}

/* Is it a relative path without any turn? */
static bool
secret_file_is_plain_path(const char *name)
{
	const char *part = name;

	if (strlen(name) > MAX_NAME)
		return false;
	for (;;)
	{
		size_t		len = strcspn(part, "/");

		if (len == 0 || part[0] == '.')
			return false;
		for (size_t i = 0; i < len; i++)
			if ((unsigned char) part[i] < 0x20 || part[i] == 0x7f || part[i] == '\\')
				return false;
		if (part[len] == '\0')
			return true;
		part += len + 1;
	}
}

/* Does the file belong to this role, judging by the first part of its name? */
static bool
secret_file_belongs_to(const char *name, Oid role)
{
	size_t		len = strcspn(name, "/");
	Oid			directory;

	if (superuser_arg(role))
		return true;
	if (name[len] == '\0')
		return false;
	directory = get_role_oid(pnstrdup(name, len), true);
	return OidIsValid(directory) && has_privs_of_role(role, directory);
}

const char *
secret_file_problem(const char *reference, Oid role)
{
	const char *name = reference + strlen(PREFIX);

	if (webhook_secrets_directory[0] == '\0')
		return "it names a file, but webhook.secrets_directory is not set";
	if (!secret_file_is_plain_path(name))
		return "the name of the file is not a plain relative path";
	if (!secret_file_belongs_to(name, role))
		return "the name of the file does not begin with a role that the webhook's owner belongs to";
	return NULL;
}

/* The rest of the path behind the directory, with all links followed, if the file is still in there; else NULL. */
static char *
secret_file_resolve(const char *name, char *directory, char *path)
{
	size_t		len;

	if (realpath(webhook_secrets_directory, directory) == NULL ||
		realpath(psprintf("%s/%s", directory, name), path) == NULL)
		return NULL;
	len = strlen(directory);
	if (strncmp(path, directory, len) == 0 && path[len] == '/')
		return path + len + 1;
	errno = EACCES;
	return NULL;
}

/*
 * Open what secret_file_resolve() has found, part by part and without following a link:
 * whoever may write into a role's directory could have put one there since.
 */
static int
secret_file_open(const char *directory, char *rest)
{
	int			fd = open(directory, PASS_THROUGH | O_CLOEXEC);

	while (fd >= 0)
	{
		char	   *slash = strchr(rest, '/');
		int			parent = fd;
		int			error;

		if (slash != NULL)
			*slash = '\0';
		/* The file may be a pipe that nobody writes to. */
		fd = openat(parent, rest, O_NOFOLLOW | O_CLOEXEC | (slash ? PASS_THROUGH : O_RDONLY | O_NONBLOCK));
		error = errno;
		close(parent);
		errno = error;
		if (slash == NULL)
			break;
		rest = slash + 1;
	}
	return fd;
}

/* Read at most so many bytes; -1 with errno set on failure. */
static ssize_t
secret_file_read_all(int fd, char *buf, size_t size)
{
	size_t		len = 0;

	while (len < size)
	{
		ssize_t		n = read(fd, buf + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += n;
	}
	return (ssize_t) len;
}

/* The content, NULL with errno set on failure.  Nothing here throws but for want of memory, which ends the worker. */
static char *
secret_file_content(const char *name, Oid role, size_t *len)
{
	char		directory[PATH_MAX];
	char		path[PATH_MAX];
	char	   *rest = secret_file_resolve(name, directory, path);
	struct stat st;
	char	   *content = NULL;
	ssize_t		n = -1;
	int			error = EINVAL;
	int			fd;

	if (rest == NULL)
		return NULL;
	if (!secret_file_belongs_to(rest, role))
	{
		errno = EACCES;
		return NULL;
	}
	fd = secret_file_open(directory, rest);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) != 0)
		error = errno;
	else if (S_ISREG(st.st_mode) && st.st_size <= MAX_FILE_SIZE)
	{
		content = palloc0(st.st_size + 1);
		n = secret_file_read_all(fd, content, st.st_size);
		error = errno;
	}
	close(fd);
	errno = error;
	*len = Max(n, 0);
	return n >= 0 ? content : NULL;
}

char *
secret_file_read(const char *reference, Oid role, char **problem)
{
	const char *name = reference + strlen(PREFIX);
	const char *refused = secret_file_problem(reference, role);
	char	   *content;
	size_t		len;

	if (refused != NULL)
	{
		*problem = pstrdup(refused);
		return NULL;
	}
	content = secret_file_content(name, role, &len);
	if (content == NULL)
	{
		*problem = psprintf("could not read file \"%s\": %s", name, strerror(errno));
		return NULL;
	}
	if (strlen(content) != len)
	{
		*problem = psprintf("file \"%s\" contains a byte 0", name);
		return NULL;
	}
	while (len > 0 && (content[len - 1] == '\n' || content[len - 1] == '\r'))
		content[--len] = '\0';
	return content;
}
