/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/pci-survey.h"

#include "tsm/common/tee-io.h"
#include "tsm/common/tsm-attribute.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define FUNCTIONS_MAX 65536
/* No function's reading takes longer, nor do the attributes with their own limit. */
#define STEP_MSEC  4000
#define TOTAL_MSEC 20000
#define REAP_MSEC  200

static inline DIR *dir_close(DIR *dir)
{
	closedir(dir);
	return NULL;
}

DEFINE_CLEANUP(DIR, dir_close);

/* --- one function, in the child --- */

static int function_path(char path[static PATH_MAX], const char *sysfs, Bdf bdf, const char *name)
{
	char text[BDF_STRING_SIZE];

	return snprintf(path, PATH_MAX, "%s/bus/pci/devices/%s/%s", sysfs, bdf_format(bdf, text),
			name) >= PATH_MAX
		       ? -ENAMETOOLONG
		       : 0;
}

/* Unlike sriov_numvfs, which waits for the driver's lock. */
static void read_vfs_total(PciFunction *f, const char *sysfs)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX], text[16] = "", *end;
	unsigned long value;

	if (function_path(path, sysfs, f->bdf, "sriov_totalvfs") < 0)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || !isdigit((unsigned char)text[0]))
		return;
	value = strtoul(text, &end, 10);
	if (strcmp(end, "\n") != 0 || value > UINT16_MAX)
		return;
	f->has_vfs_total = true;
	f->vfs_total = (uint16_t)value;
}

/* The file's name is the feature, "0001:01" (Documentation/ABI/testing/sysfs-bus-pci). */
static bool feature_valid(const char *name)
{
	for (size_t i = 0; i < PCI_DOE_FEATURE_SIZE - 1; i++)
		if (i == 4 ? name[i] != ':' : !isxdigit((unsigned char)name[i]))
			return false;
	return name[PCI_DOE_FEATURE_SIZE - 1] == '\0';
}

static int feature_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void read_doe_features(PciFunction *f, const char *sysfs)
{
	_cleanup_(dir_closep) DIR *dir = NULL;
	char path[PATH_MAX];
	struct dirent *entry;

	if (function_path(path, sysfs, f->bdf, "doe_features") < 0 || !(dir = opendir(path)))
		return;
	while ((entry = readdir(dir)) && f->n_doe_features < PCI_DOE_FEATURES_MAX) {
		const char *name = entry->d_name;

		/* The one that has a name in words. */
		if (strcmp(name, "doe_discovery") == 0)
			name = "0001:00";
		if (feature_valid(name))
			memcpy(f->doe_features[f->n_doe_features++], name, PCI_DOE_FEATURE_SIZE);
	}
	qsort(f->doe_features, f->n_doe_features, PCI_DOE_FEATURE_SIZE, feature_order);
}

static void prepare_value(TsmValue *value, const PciFunction *f, const char *sysfs,
			  const char *name)
{
	char path[PATH_MAX];

	if (tsm_attribute_path(path, sizeof(path), sysfs, f->bdf, name) < 0 ||
	    faccessat(AT_FDCWD, path, F_OK, 0) < 0)
		return;
	*value = (TsmValue){ .state = TSM_VALUE_UNKNOWN, .error = -EINTR };
}

static void read_function(PciFunction *f, const char *sysfs)
{
	_cleanup_free_ char *error = NULL;
	_cleanup_free_ Bdf *vfs = NULL;

	f->error = host_function_read(&f->host, sysfs, f->bdf, &error);
	if (f->error < 0) {
		snprintf(f->trouble, sizeof(f->trouble), "%s", error ? error : "no memory");
		return;
	}
	f->dsm = tee_io_dsm(&f->host);
	if (host_function_virtual(&vfs, &f->vfs_enabled, sysfs, f->bdf) < 0)
		f->vfs_enabled = 0;
	read_vfs_total(f, sysfs);
	read_doe_features(f, sysfs);
	prepare_value(&f->connect, f, sysfs, "connect");
	prepare_value(&f->bound, f, sysfs, "bound");
	prepare_value(&f->kernel_dsm, f, sysfs, "dsm");
	pci_config_read(&f->config, sysfs, f->bdf);
}

static bool value_valid(const char *name, const char *text)
{
	Bdf bdf;

	if (!text[0])
		return true;
	return strcmp(name, "dsm") == 0 ? bdf_parse(&bdf, text) == 0 : tee_io_tsm_name_valid(text);
}

/* Returns false when the lock is not free: whoever waits for it once has waited enough. */
static bool read_value(TsmValue *value, const PciFunction *f, const char *sysfs, const char *name)
{
	char text[sizeof(value->text)];
	int r;

	if (value->state == TSM_VALUE_ABSENT)
		return true;
	r = tsm_attribute_read(sysfs, f->bdf, name, text, sizeof(text));
	if (r == 0 && !value_valid(name, text))
		r = -EBADMSG;
	value->error = r;
	if (r == 0) {
		memcpy(value->text, text, sizeof(text));
		value->state = TSM_VALUE_KNOWN;
	}
	return r != -EINTR;
}

static void read_values(PciSurvey *survey, const char *sysfs)
{
	bool free = true;

	tsm_attribute_arm(PCI_SURVEY_TSM_MSEC);
	for (size_t i = 0; free && i < survey->n; i++) {
		PciFunction *f = &survey->functions[i];

		free = read_value(&f->connect, f, sysfs, "connect") &&
		       read_value(&f->bound, f, sysfs, "bound") &&
		       read_value(&f->kernel_dsm, f, sysfs, "dsm");
	}
	tsm_attribute_arm(0);
}

static _Noreturn void child_run(PciSurvey *survey, const char *sysfs, pid_t parent)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	while (survey->next < survey->n) {
		read_function(&survey->functions[survey->next], sysfs);
		survey->next++;
	}
	if (survey->with_values)
		read_values(survey, sysfs);
	survey->done = true;
	_exit(EXIT_SUCCESS);
}

/* --- the parent --- */

static int64_t now_msec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 0: it has ended; -ETIME: it stood still, and was killed; one that cannot be is left behind. */
static int child_wait(pid_t child, const PciSurvey *survey, int64_t deadline)
{
	_cleanup_close_ int fd = pidfd_open(child, 0);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	size_t at = survey->next;
	int64_t left;
	int r;

	while ((left = deadline - now_msec()) > 0) {
		r = fd < 0 ? 0 : poll(&poll_fd, 1, left < STEP_MSEC ? (int)left : STEP_MSEC);
		if (r > 0) {
			waitpid(child, NULL, 0);
			return 0;
		}
		if (r == 0 && survey->next == at)
			break;
		at = survey->next;
	}
	kill(child, SIGKILL);
	poll(&poll_fd, 1, REAP_MSEC);
	waitpid(child, NULL, WNOHANG);
	return -ETIME;
}

static void give_up(PciFunction *f, const char *why)
{
	char name[BDF_STRING_SIZE];

	f->error = -EIO;
	snprintf(f->trouble, sizeof(f->trouble), "%s: %s", bdf_format(f->bdf, name), why);
}

static int run_children(PciSurvey *survey, const char *sysfs)
{
	int64_t deadline = now_msec() + TOTAL_MSEC;

	while (!survey->done) {
		pid_t parent = getpid(), child = fork();
		PciFunction *f;
		int r;

		if (child < 0)
			return -errno;
		if (child == 0)
			child_run(survey, sysfs, parent);
		r = child_wait(child, survey, deadline);
		/* The attributes that are not read by now say so. */
		if (survey->done || survey->next >= survey->n)
			return 0;
		f = &survey->functions[survey->next++];
		/* libpci gave up, and it came last: all but the configuration space is known. */
		if (r == 0 && f->config.trouble[0])
			f->config.basic = f->config.extended = false;
		else
			give_up(f,
				r < 0 ? "reading it takes too long; does the device still answer?"
				      : "reading it ended the process that did");
		if (now_msec() < deadline)
			continue;
		for (; survey->next < survey->n; survey->next++)
			give_up(&survey->functions[survey->next], "there was no time left for it");
		return 0;
	}
	return 0;
}

static int order(const void *a, const void *b)
{
	const Bdf *x = a, *y = b;
	uint32_t i = bdf_requester_id(*x), j = bdf_requester_id(*y);

	return (i > j) - (i < j);
}

static int list_functions(Bdf **ret, size_t *ret_n, const char *sysfs)
{
	_cleanup_(dir_closep) DIR *dir = NULL;
	_cleanup_free_ Bdf *list = NULL;
	char path[PATH_MAX];
	struct dirent *entry;
	size_t n = 0;
	Bdf bdf;

	if (snprintf(path, sizeof(path), "%s/bus/pci/devices", sysfs) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir)) && n < FUNCTIONS_MAX) {
		Bdf *more;

		if (bdf_parse(&bdf, entry->d_name) < 0)
			continue;
		more = reallocarray(list, n + 1, sizeof(*list));
		if (!more)
			return -ENOMEM;
		list = more;
		list[n++] = bdf;
	}
	if (n)
		qsort(list, n, sizeof(*list), order);
	*ret = steal_ptr(list);
	*ret_n = n;
	return 0;
}

int pci_survey_new(PciSurvey **ret, const char *sysfs, bool with_values)
{
	_cleanup_(pci_survey_freep) PciSurvey *survey = NULL;
	_cleanup_free_ Bdf *list = NULL;
	size_t n, size;
	void *memory;
	int r;

	r = list_functions(&list, &n, sysfs);
	if (r < 0)
		return r;
	size = sizeof(*survey) + n * sizeof(survey->functions[0]);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	survey = memory;
	survey->size = size;
	survey->n = n;
	survey->with_values = with_values;
	for (size_t i = 0; i < n; i++)
		survey->functions[i].bdf = list[i];
	r = run_children(survey, sysfs);
	if (r < 0)
		return r;
	*ret = steal_ptr(survey);
	return 0;
}

PciSurvey *pci_survey_free(PciSurvey *survey)
{
	if (survey)
		munmap(survey, survey->size);
	return NULL;
}

const PciFunction *pci_survey_find(const PciSurvey *survey, Bdf bdf)
{
	size_t low = 0, high = survey->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int c = order(&survey->functions[middle].bdf, &bdf);

		if (c == 0)
			return &survey->functions[middle];
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool pci_function_has_dsm(const PciFunction *f)
{
	return f->connect.state != TSM_VALUE_ABSENT;
}
