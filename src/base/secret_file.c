/*-------------------------------------------------------------------------
 *
 * secret_file.c
 *		Secrets that are stored in a file: "file:name" in place of the value.
 *
 * Superusers can read everything in the database, and every dump contains it.
 * Therefore header values, signing secrets, certificates and keys can be stored
 * in files, which the worker reads when it loads the webhook.  The files are in
 * webhook.secrets_directory, and the first part of their name is a role:
 * "file:alice/token" can be used by alice and by members of that role.  So no
 * role can have another role's secret sent to its own receiver.  Webhooks of a
 * superuser can use any file there.
 *
 * Symbolic links are followed if they stay within the directory and lead to a
 * file that the role could have used directly.
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

/* A directory on the path need not be readable. */
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

/* Is it a relative path without "." and ".."? */
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

/* Does the first part of the file's name allow this role to use it? */
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

/*
 * Resolve all symbolic links.  Returns the part of the path after the directory;
 * NULL with errno set if the file is outside of it.
 */
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
 * Open a path that secret_file_resolve() returned, part by part and without
 * following links: one may have been created in a role's directory since.
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
		/* Do not block on a pipe without a writer. */
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

/* Read at most size bytes; -1 with errno set on failure. */
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

/*
 * Return the content of the file; NULL with errno set on failure.  The only error
 * raised here is out of memory, which ends the worker.
 */
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
		*problem = psprintf("file \"%s\" contains a NUL byte", name);
		return NULL;
	}
	while (len > 0 && (content[len - 1] == '\n' || content[len - 1] == '\r'))
		content[--len] = '\0';
	return content;
}
