/*-------------------------------------------------------------------------
 *
 * secretfile.c
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
 * Symbolic links are followed as long as they stay in the directory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"

#include "secretfile.h"
#include "settings.h"

#define PREFIX			"file:"
#define MAX_NAME		255
#define MAX_FILE_SIZE	(256 * 1024)


bool
secretfile_is_reference(const char *value)
{
	return strncmp(value, PREFIX, strlen(PREFIX)) == 0;
}

/* Is it a relative path without any turn? */
static bool
is_plain_path(const char *name)
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
belongs_to(const char *name, Oid role)
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
secretfile_problem(const char *reference, Oid role)
{
	const char *name = reference + strlen(PREFIX);

	if (webhook_secrets_directory[0] == '\0')
		return "it names a file, but webhook.secrets_directory is not set";
	if (!is_plain_path(name))
		return "the name of the file is not a plain relative path";
	if (!belongs_to(name, role))
		return "the name of the file does not begin with a role that the webhook's owner belongs to";
	return NULL;
}

/* The path with all links followed, if it is still in the directory. */
static bool
resolve(const char *name, char *path)
{
	char		directory[PATH_MAX];
	size_t		len;

	if (realpath(webhook_secrets_directory, directory) == NULL ||
		realpath(psprintf("%s/%s", directory, name), path) == NULL)
		return false;
	len = strlen(directory);
	if (strncmp(path, directory, len) == 0 && path[len] == '/')
		return true;
	errno = EACCES;
	return false;
}

/* Read at most so many bytes; -1 with errno set on failure. */
static ssize_t
read_all(int fd, char *buf, size_t size)
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

/* The content, NULL with errno set on failure. */
static char *
read_file(const char *name)
{
	char		path[PATH_MAX];
	struct stat st;
	char	   *content = NULL;
	int			error = 0;
	int			fd;

	if (!resolve(name, path))
		return NULL;
	/* It may be a pipe that nobody writes to. */
	fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) != 0)
		error = errno;
	else if (!S_ISREG(st.st_mode) || st.st_size > MAX_FILE_SIZE)
		error = EINVAL;
	else
	{
		content = palloc0(st.st_size + 1);
		if (read_all(fd, content, st.st_size) < 0)
			error = errno;
	}
	CloseTransientFile(fd);
	errno = error;
	return error == 0 ? content : NULL;
}

char *
secretfile_read(const char *reference, Oid role, char **problem)
{
	const char *name = reference + strlen(PREFIX);
	const char *refused = secretfile_problem(reference, role);
	char	   *content;
	size_t		len;

	if (refused != NULL)
	{
		*problem = pstrdup(refused);
		return NULL;
	}
	content = read_file(name);
	if (content == NULL)
	{
		*problem = psprintf("could not read file \"%s\": %s", name, strerror(errno));
		return NULL;
	}
	len = strlen(content);
	while (len > 0 && (content[len - 1] == '\n' || content[len - 1] == '\r'))
		content[--len] = '\0';
	return content;
}
