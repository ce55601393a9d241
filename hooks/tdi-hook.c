/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's qemu hook: NAME OPERATION SUB-OPERATION EXTRA, and the domain's XML on standard input.
 *
 * It runs at every step of every domain of the host, so what a domain without our markers costs is
 * counted: read, search, exit. A domain with a marker costs one call to tdid, and libvirtd stands
 * still until the answer or the deadline. What the exit status does is libvirt's to say: it stops
 * prepare, start, started, migrate and restore, is ignored at stopped and release, and at
 * reconnect it would kill a running VM, so those three exit 0 whatever happens.
 *
 * The XML is kept up to XML_MAX and searched to its end. One that is longer and has a marker cannot
 * be handed to tdid and is refused; one that has none is nobody's business here.
 */
#include "call.h"
#include "core/cleanup.h"
#include "scan.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define XML_MAX	    (8u * 1024 * 1024)
#define SOCKET_PATH "/run/tdid/io.tdid.Hook"
#define START_TDID  "Start it with 'systemctl start tdid.socket'"
#define SEE_TDID    "See 'systemctl status tdid' and 'journalctl -u tdid'"

enum {
	EXIT_REFUSED = 1,
	EXIT_USAGE = 2,
};

typedef struct Operation {
	const char *name;
	bool may_refuse;
	bool reads_qemu; /* QEMU runs: tdid wants to know which process */
	unsigned timeout_sec;
} Operation;

static const Operation operations[] = {
	/* tdid waits here for the unbind of the domain's previous run */
	{ "prepare", true, false, 60 },
	{ "start", true, false, 15 },
	{ "started", true, true, 15 },
	{ "reconnect", false, true, 15 },
	/* tdid unbinds what is left, at most 10 s, before libvirt takes the functions back */
	{ "stopped", false, false, 15 },
	{ "release", false, false, 15 },
	/* filters: printing nothing keeps the XML as it is */
	{ "migrate", true, false, 15 },
	{ "restore", true, false, 15 },
};

typedef struct Hook {
	const char *domain;
	const Operation *operation;
	unsigned found;
	char words[SCAN_WORDS_SIZE];
} Hook;

static char xml[XML_MAX];

/*
 * Writes one line: libvirt puts it into virsh's error. The message may quote what a user or a
 * device wrote, so control characters (C0, DEL, and C1 in UTF-8) become blanks.
 */
__attribute__((format(printf, 2, 3))) static int answer(const Hook *hook, const char *format, ...)
{
	static char line[4096 + REPLY_SIZE_MAX];
	bool refuse = hook->operation->may_refuse;
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	for (unsigned char *p = (unsigned char *)line; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = ' ';
		else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			p[0] = p[1] = ' ';
	}
	dprintf(STDERR_FILENO, "tdi-hook: %s%s%s%s\n", line, refuse ? "" : " (",
		refuse ? "" : hook->operation->name, refuse ? "" : " goes on all the same)");
	return refuse ? EXIT_REFUSED : EXIT_SUCCESS;
}

/* Reads standard input to its end. *ret_kept is how much of it `xml` holds. */
static int read_xml(Scan *scan, size_t *ret_kept, bool *ret_whole)
{
	size_t kept = 0;

	for (;;) {
		static char rest[64 * 1024];
		bool full = kept == sizeof(xml);
		char *to = full ? rest : xml + kept;
		ssize_t n = read(STDIN_FILENO, to, full ? sizeof(rest) : sizeof(xml) - kept);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		scan_feed(scan, to, (size_t)n);
		if (full)
			*ret_whole = false;
		else
			kept += (size_t)n;
	}
	*ret_kept = kept;
	return 0;
}

static int answer_failed_call(const Hook *hook, const char *path, CallStep step, int error)
{
	const char *name = hook->operation->name;

	if (error == -ETIMEDOUT)
		return answer(hook,
			      "domain %s needs tdid, as it has %s, but tdid has not answered %s at "
			      "%s within %u s. " SEE_TDID,
			      hook->domain, hook->words, name, path, hook->operation->timeout_sec);
	if (step == CALL_CONNECT)
		return answer(hook,
			      "domain %s needs tdid, as it has %s, but tdid does not answer at %s "
			      "(%s). " START_TDID ", or remove what is named from the domain",
			      hook->domain, hook->words, path, strerror(-error));
	if (step == CALL_PARSE || error == -EBADMSG)
		return answer(hook,
			      "domain %s: %s: what answers at %s does not speak io.tdid.Hook. "
			      "Are tdid and tdi-hook of the same version? " SEE_TDID,
			      hook->domain, name, path);
	return answer(hook, "domain %s: %s: tdid broke off the call at %s (%s). " SEE_TDID,
		      hook->domain, name, path, strerror(-error));
}

static int run(const Hook *hook, const char *root, Call *call)
{
	Reply reply = { 0 };
	char path[PATH_MAX];
	CallStep step;
	int r;

	if (hook->operation->reads_qemu) {
		r = qemu_read(&call->qemu, root, hook->domain);
		if (r < 0)
			dprintf(STDERR_FILENO,
				"tdi-hook: domain %s: cannot tell which process its QEMU is, from "
				"%s/run/libvirt/qemu/%s.pid (%s)\n",
				hook->domain, root, hook->domain, strerror(-r));
	}
	snprintf(path, sizeof(path), "%s" SOCKET_PATH, root);
	r = call_run(&reply, path, call, hook->operation->timeout_sec * 1000, &step);
	if (r < 0)
		return answer_failed_call(hook, path, step, r);
	if (!reply.error)
		return EXIT_SUCCESS;
	if (strcmp(reply.error, "io.tdid.Hook.Refused") == 0 && reply.message)
		return answer(hook, "%s", reply.message);
	return answer(hook, "domain %s: %s: tdid answers with %s%s%s. " SEE_TDID, hook->domain,
		      hook->operation->name, reply.error, reply.message ? ": " : "",
		      reply.message ? reply.message : "");
}

static int usage(int status)
{
	dprintf(status ? STDERR_FILENO : STDOUT_FILENO,
		"tdi-hook NAME OPERATION SUB-OPERATION EXTRA < domain.xml\n"
		"\n"
		"libvirt's qemu hook for trusted devices. Asks tdid about domains that carry\n"
		"  the alias ua-tdi-... of a device, metadata of urn:tdid:domain:1, the guest "
		"port\n"
		"  io.tdid.guest.0, a fw_cfg entry opt/io.tdid/..., or a quote socket in /run/tdid/\n"
		"and exits 0 at once for all others.\n"
		"\n"
		"Exit status: 0 go on, 1 refused or tdid does not answer, 2 wrong use.\n"
		"reconnect, stopped and release always exit 0.\n"
		"\n"
		"  --help, --version\n"
		"  TDI_HOOK_ROOT in the environment stands before " SOCKET_PATH "\n"
		"  and /run/libvirt, for tests\n");
	return status;
}

int main(int argc, char **argv)
{
	const char *root = secure_getenv("TDI_HOOK_ROOT");
	Scan scan = { 0 };
	Hook hook = { 0 };
	size_t size = 0;
	bool whole = true;
	Call call;
	int r;

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return usage(EXIT_SUCCESS);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		dprintf(STDOUT_FILENO, "tdi-hook " TDID_VERSION "\n");
		return EXIT_SUCCESS;
	}
	if (argc < 3)
		return usage(EXIT_USAGE);

	hook.domain = argv[1];
	for (size_t i = 0; i < ELEMENTSOF(operations); i++)
		if (strcmp(argv[2], operations[i].name) == 0)
			hook.operation = &operations[i];
	/* attach, or one that a later libvirt adds: nothing that tdid knows of. */
	if (!hook.operation)
		return EXIT_SUCCESS;

	r = read_xml(&scan, &size, &whole);
	if (r < 0)
		return answer(&hook, "domain %s: %s: cannot read its XML from libvirt: %s",
			      hook.domain, hook.operation->name, strerror(-r));
	if (!scan.found)
		return EXIT_SUCCESS;

	scan_words(scan.found, hook.words, sizeof(hook.words));
	if (!whole)
		return answer(&hook,
			      "domain %s: %s: its XML is longer than the %u MiB that tdid takes. "
			      "Make it shorter, or remove %s from the domain",
			      hook.domain, hook.operation->name, XML_MAX >> 20, hook.words);
	call = (Call){
		.domain = hook.domain,
		.operation = hook.operation->name,
		.sub_operation = argc > 3 ? argv[3] : "",
		.extra = argc > 4 ? argv[4] : "",
		.xml = xml,
		.xml_size = size,
	};
	return run(&hook, root ? root : "", &call);
}
