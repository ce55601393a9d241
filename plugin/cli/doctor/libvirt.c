/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU, libvirt, and our hook in its directory. */
#include "cli/doctor/doctor.h"
#include "cli/doctor/host-tree.h"
#include "cli/doctor/program.h"
#include "cli/text.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define VERSION_TIMEOUT_MS 2000
#define VERSION_SIZE_MAX   65536
#define HOOKS		   "/etc/libvirt/hooks"
#define HOOK_SIZE_MAX	   (16u * 1024 * 1024)
#define HOOK_MARK	   "io.tdid.Hook" /* the interface that it calls */
#define HOOK_NAME	   "tdi-hook"	  /* that a script calls */

/* First line of `path --version`; NULL: it does not tell, or is not to be run. Allocated. */
static char *version_of(const Doctor *d, const char *path)
{
	const char *const arguments[] = { path, "--version", NULL };
	char *text = NULL;

	if (d->root[0] ||
	    program_output(arguments, VERSION_TIMEOUT_MS, VERSION_SIZE_MAX, &text, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void tell_program(const Doctor *d, DoctorFinding *ret, const char *path)
{
	_cleanup_free_ char *version = version_of(d, path);

	doctor_find(ret, DOCTOR_OK, "%s%s%s", path, version ? ": " : "", version ? version : "");
}

void doctor_probe_qemu(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	static const char *const formats[] = { "/usr/bin/qemu-system-",
					       "/usr/local/bin/qemu-system-",
					       "/usr/libexec/qemu-kvm", "/usr/bin/qemu-kvm" };

	for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
		bool system = i < 2;
		_cleanup_free_ char *path =
			text_format("%s%s", formats[i], system && d->qemu ? d->qemu : "");

		if ((system && !d->qemu) || !host_tree_has(d->root, path, NULL))
			continue;
		tell_program(d, ret, path);
		return;
	}
	doctor_find(ret, DOCTOR_MISSING,
		    "neither qemu-system-%s nor qemu-kvm where they usually are",
		    d->qemu ? d->qemu : "*");
}

void doctor_probe_libvirt(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	static const struct {
		const char *socket, *program;
	} daemons[] = {
		{ "/run/libvirt/virtqemud-sock", "/usr/sbin/virtqemud" },
		{ "/run/libvirt/libvirt-sock", "/usr/sbin/libvirtd" },
	};

	for (size_t i = 0; i < ELEMENTSOF(daemons); i++) {
		_cleanup_free_ char *version = NULL;

		/* Connecting could start it: systemd holds the socket. */
		if (!host_tree_has(d->root, daemons[i].socket, NULL))
			continue;
		version = host_tree_has(d->root, daemons[i].program, NULL)
				  ? version_of(d, daemons[i].program)
				  : NULL;
		doctor_find(ret, DOCTOR_OK, "%s%s%s", daemons[i].socket, version ? ": " : "",
			    version ? version : "");
		return;
	}
	doctor_find(ret, DOCTOR_MISSING, "neither %s nor %s is there", daemons[0].socket,
		    daemons[1].socket);
}

/* --- the hook --- */

static bool is_script(const char *data, size_t size)
{
	return size > 2 && memcmp(data, "#!", 2) == 0;
}

/* 1: it is ours, or a script that calls it; *ret is its content. 0: neither; or -errno. */
static int read_hook(const Doctor *d, const char *path, char **ret, size_t *ret_size)
{
	_cleanup_free_ char *data = NULL;
	int r = host_tree_read(d->root, path, HOOK_SIZE_MAX, &data, ret_size);

	if (r < 0)
		return r;
	if (!memmem(data, *ret_size, HOOK_MARK, strlen(HOOK_MARK)) &&
	    !(is_script(data, *ret_size) && memmem(data, *ret_size, HOOK_NAME, strlen(HOOK_NAME))))
		return 0;
	*ret = steal_ptr(data);
	return 1;
}

/* Whether `path` and whatever it links to lie in libvirt's directory of hooks. */
static bool leads_elsewhere(const Doctor *d, const char *path)
{
	_cleanup_free_ char *full = host_tree_path(d->root, path), *hooks = NULL;
	_cleanup_free_ char *inside = host_tree_path(d->root, HOOKS);
	char real[PATH_MAX], real_hooks[PATH_MAX];

	if (!realpath(full, real) || !realpath(inside, real_hooks))
		return false;
	hooks = text_format("%s/", real_hooks);
	return strncmp(real, hooks, strlen(hooks)) != 0;
}

static bool apparmor_is_on(const Doctor *d)
{
	char value[8];

	return host_tree_line(d->root, "/sys/module/apparmor/parameters/enabled", value,
			      sizeof(value)) == 0 &&
	       strcmp(value, "Y") == 0;
}

/* The installed one that differs from it; NULL: it is the same, or there is none. */
static const char *newer_hook(const Doctor *d, const char *data, size_t size)
{
	static const char *const installed[] = { "/usr/libexec/tdid/tdi-hook",
						 "/usr/local/libexec/tdid/tdi-hook" };

	for (size_t i = 0; i < ELEMENTSOF(installed); i++) {
		_cleanup_free_ char *other = NULL;
		size_t other_size;

		if (host_tree_read(d->root, installed[i], HOOK_SIZE_MAX, &other, &other_size) < 0)
			continue;
		return size == other_size && memcmp(data, other, size) == 0 ? NULL : installed[i];
	}
	return NULL;
}

static void judge_hook(const Doctor *d, const char *path, const char *data, size_t size,
		       DoctorFinding *ret)
{
	_cleanup_free_ char *full = host_tree_path(d->root, path);
	bool script = is_script(data, size);
	const char *newer = script ? NULL : newer_hook(d, data, size);
	struct stat st;

	if (stat(full, &st) < 0 || !(st.st_mode & S_IXUSR)) {
		doctor_find(ret, DOCTOR_MISSING, "%s is not executable: libvirt passes it over",
			    path);
	} else if (leads_elsewhere(d, path)) {
		bool blocked = apparmor_is_on(d);

		doctor_find(ret, blocked ? DOCTOR_MISSING : DOCTOR_WARNING,
			    "%s leads out of " HOOKS "; AppArmor's profile of libvirtd %s that",
			    path, blocked ? "forbids" : "would forbid");
		ret->way_out = "put a copy there instead of a symbolic link";
	} else if (script && apparmor_is_on(d)) {
		doctor_find(
			ret, DOCTOR_WARNING,
			"%s is a script that calls tdi-hook; AppArmor lets libvirtd's hooks run "
			"what lies in " HOOKS,
			path);
		ret->way_out = "put a copy of tdi-hook itself there";
	} else if (newer) {
		doctor_find(ret, DOCTOR_WARNING, "%s is another one than %s", path, newer);
	} else {
		doctor_find(ret, DOCTOR_OK, "%s%s", path,
			    script ? ", a script that calls tdi-hook" : "");
	}
}

/* True: it was there, and ret says how it is; a file that cannot be read leaves *ret_error. */
static bool try_hook(const Doctor *d, const char *path, DoctorFinding *ret, int *ret_error)
{
	_cleanup_free_ char *data = NULL;
	size_t size;
	int r = read_hook(d, path, &data, &size);

	if (r == -EACCES || r == -EPERM)
		*ret_error = r;
	if (r > 0)
		judge_hook(d, path, data, size, ret);
	return r > 0;
}

void doctor_probe_hook(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	_cleanup_free_ char *directory = host_tree_path(d->root, HOOKS "/qemu.d");
	DIR *dir = opendir(directory);
	int error = !dir && errno != ENOENT ? -errno : 0;
	bool found = false;
	struct dirent *entry;

	while (dir && !found && (entry = readdir(dir))) {
		_cleanup_free_ char *path = text_format(HOOKS "/qemu.d/%s", entry->d_name);

		found = entry->d_name[0] != '.' && try_hook(d, path, ret, &error);
	}
	if (dir)
		closedir(dir);
	if (!found)
		found = try_hook(d, HOOKS "/qemu", ret, &error);
	if (found)
		return;
	if (error)
		doctor_find(ret, DOCTOR_UNKNOWN, HOOKS "/qemu.d: %s", strerror(-error));
	else
		doctor_find(ret, DOCTOR_MISSING, "no tdi-hook in " HOOKS "/qemu.d");
}
