/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/platform-key.h"

#include "common/random.h"
#include "common/state-file.h"
#include "core/refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>

/* Others may pass through: the file has a mode of its own. */
#define DIRECTORY_MODE 0711
#define KEY_MODE       0640

static int key_read(uint8_t ret[static TDREPORT_KEY_SIZE], int directory, const char *name,
		    const char *path, char **ret_error)
{
	_cleanup_close_ int fd =
		openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st) < 0)
		return refuse(ret_error, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size != TDREPORT_KEY_SIZE)
		return refuse(ret_error, -EBADMSG,
			      "%s: not a file of %u bytes (remove it to have one made)", path,
			      TDREPORT_KEY_SIZE);
	if (st.st_mode & 07777 & ~KEY_MODE)
		return refuse(ret_error, -EPERM, "%s: mode %04o is more open than %04o", path,
			      st.st_mode & 07777, KEY_MODE);
	n = read(fd, ret, TDREPORT_KEY_SIZE);
	if (n != TDREPORT_KEY_SIZE)
		return refuse(ret_error, -EIO, "%s: cannot be read: %s", path,
			      n < 0 ? strerror(errno) : "it became shorter");
	return 0;
}

/* As a file without a name, which link(2) then gives one if nobody else has been faster. */
static int key_make(int directory, const char *name)
{
	_cleanup_close_ int fd = openat(directory, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	char link[sizeof("/proc/self/fd/-2147483648")];
	uint8_t key[TDREPORT_KEY_SIZE];
	int r;

	if (fd < 0)
		return -errno;
	r = random_secret(key, sizeof(key));
	if (r < 0)
		return r;
	if (fchmod(fd, KEY_MODE) < 0 || write(fd, key, sizeof(key)) != sizeof(key) || fsync(fd) < 0)
		r = -EIO;
	OPENSSL_cleanse(key, sizeof(key));
	if (r < 0)
		return r;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, link, directory, name, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
		return -errno;
	return fsync(directory) < 0 ? -errno : 0;
}

int platform_key_open(uint8_t ret[static TDREPORT_KEY_SIZE], const char *path, char **ret_error)
{
	_cleanup_free_ char *folder = strdup(path);
	_cleanup_close_ int directory = -1;
	char *slash;
	int r;

	if (!folder)
		return -ENOMEM;
	slash = strrchr(folder, '/');
	if (!slash || !slash[1])
		return refuse(ret_error, -EINVAL, "%s: not the path of a file", path);
	*slash = '\0';
	directory = state_directory_open(*folder ? folder : "/", DIRECTORY_MODE, ret_error);
	if (directory < 0)
		return directory;
	r = key_read(ret, directory, slash + 1, path, ret_error);
	if (r != -ENOENT)
		return r;
	r = key_make(directory, slash + 1);
	if (r < 0)
		return refuse(ret_error, r, "%s: cannot be made: %s", path, strerror(-r));
	return key_read(ret, directory, slash + 1, path, ret_error);
}
