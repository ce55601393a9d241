/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/query-pci.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static int parse_len(QueryPci **q, const char *text, size_t len, const char *in_error)
{
	_cleanup_free_ char *error = NULL;
	int r = query_pci_parse(q, text, len, &error);

	cr_expect_eq(error != NULL, r < 0, "%d, %s", r, error ?: "");
	if (r < 0) {
		cr_expect_null(*q);
		cr_expect(strstr(error, in_error) != NULL, "\"%s\" is not in \"%s\"", in_error,
			  error);
		cr_expect_eq(query_pci_parse(q, text, len, NULL), r, "nobody wants the sentence");
	}
	return r;
}

static int refuse(const char *text, const char *in_error)
{
	QueryPci *q = NULL;

	return parse_len(&q, text, strlen(text), in_error);
}

static QueryPci *accept(const char *text)
{
	QueryPci *q = NULL;

	cr_assert_eq(parse_len(&q, text, strlen(text), ""), 0);
	return q;
}

#define DEVICE(bus, slot, fn, id)                                                                  \
	"{\"bus\":" bus ",\"slot\":" slot ",\"function\":" fn ",\"qdev_id\":\"" id "\"}"
#define ON_ROOT(devices) "{\"return\":[{\"bus\":0,\"devices\":[" devices "]}],\"id\":\"libvirt-1\"}"

Test(query_pci, empty)
{
	cr_expect_eq(refuse("", "query-pci"), -EBADMSG);
	cr_expect_eq(refuse("{}", "'return'"), -EBADMSG);
	cr_expect_eq(refuse("null", "query-pci"), -EBADMSG);
	cr_expect_eq(refuse("[]", "query-pci"), -EBADMSG);
}

Test(query_pci, short_and_trailing)
{
	const char *good = ON_ROOT(DEVICE("0", "3", "0", "a"));

	for (size_t n = 0; n < strlen(good); n++) {
		QueryPci *q = NULL;

		cr_expect_eq(parse_len(&q, good, n, "query-pci"), -EBADMSG, "%zu bytes", n);
	}
	cr_expect_eq(refuse(ON_ROOT("") "x", "query-pci"), -EBADMSG);
	cr_expect_eq(refuse(ON_ROOT("") "{}", "query-pci"), -EBADMSG);
}

Test(query_pci, oversize)
{
	_cleanup_free_ char *text = malloc(QUERY_PCI_MAX_BYTES + 1);
	_cleanup_free_ char *many = NULL;
	QueryPci *q = NULL;
	size_t len;
	FILE *f;

	memset(text, ' ', QUERY_PCI_MAX_BYTES + 1);
	memcpy(text, ON_ROOT(""), strlen(ON_ROOT("")));
	cr_expect_eq(parse_len(&q, text, QUERY_PCI_MAX_BYTES + 1, "query-pci"), -E2BIG);

	f = open_memstream(&many, &len);
	fputs("{\"return\":[{\"bus\":0,\"devices\":[", f);
	for (unsigned i = 0; i <= QUERY_PCI_MAX_DEVICES; i++)
		fputs(i ? "," DEVICE("0", "1", "0", "") : DEVICE("0", "1", "0", ""), f);
	fputs("]}]}", f);
	fclose(f);
	cr_expect_eq(refuse(many, "more than 4096 devices"), -E2BIG);
}

static void put_bridges(FILE *f, unsigned n, unsigned bus)
{
	fprintf(f, "{\"bus\":%u,\"slot\":1,\"function\":0,\"qdev_id\":\"b%u\"", bus, bus);
	if (n > 0) {
		fprintf(f, ",\"pci_bridge\":{\"bus\":{\"secondary\":%u},\"devices\":[", bus + 1);
		put_bridges(f, n - 1, bus + 1);
		fputs("]}", f);
	}
	fputs("}", f);
}

static char *nested(unsigned n)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	fputs("{\"return\":[{\"bus\":0,\"devices\":[", f);
	put_bridges(f, n, 0);
	fputs("]}]}", f);
	fclose(f);
	return text;
}

Test(query_pci, depth)
{
	_cleanup_free_ char *deepest = nested(QUERY_PCI_MAX_DEPTH);
	_cleanup_free_ char *deeper = nested(QUERY_PCI_MAX_DEPTH + 1);
	_cleanup_free_ char *absurd = nested(1000);
	_cleanup_(query_pci_freep) QueryPci *q = NULL;

	cr_expect_eq(refuse(deeper, "query-pci"), -E2BIG);
	cr_expect_eq(refuse(absurd, "query-pci"), -E2BIG);
	q = accept(deepest);
	cr_expect_eq(q->n_functions, QUERY_PCI_MAX_DEPTH + 1);
	cr_expect_eq(query_pci_find(q, "b8")->bus, 8);
}

Test(query_pci, wrong_types_and_ranges)
{
	static const char *const bad[] = {
		"{\"return\":{}}",
		"{\"return\":[1]}",
		"{\"return\":[{}]}",
		"{\"return\":[{\"bus\":0}]}",
		"{\"return\":[{\"bus\":256,\"devices\":[]}]}",
		"{\"return\":[{\"bus\":-1,\"devices\":[]}]}",
		"{\"return\":[{\"bus\":\"0\",\"devices\":[]}]}",
		"{\"return\":[{\"bus\":0,\"devices\":{}}]}",
		ON_ROOT("[]"),
		ON_ROOT("{}"),
		ON_ROOT(DEVICE("0", "32", "0", "a")),
		ON_ROOT(DEVICE("0", "0", "8", "a")),
		ON_ROOT(DEVICE("0", "0", "-1", "a")),
		ON_ROOT(DEVICE("0", "0.5", "0", "a")),
		ON_ROOT(DEVICE("0", "99999999999999999999", "0", "a")),
		ON_ROOT("{\"bus\":0,\"slot\":1,\"function\":0}"),
		ON_ROOT("{\"bus\":0,\"slot\":1,\"function\":0,\"qdev_id\":7}"),
		ON_ROOT("{\"bus\":0,\"slot\":1,\"function\":0,\"qdev_id\":\"a\",\"pci_bridge\":[]"
			"}"),
		ON_ROOT("{\"bus\":0,\"slot\":1,\"function\":0,\"qdev_id\":\"a\",\"pci_bridge\":{}"
			"}"),
		ON_ROOT("{\"bus\":0,\"slot\":1,\"function\":0,\"qdev_id\":\"a\","
			"\"pci_bridge\":{\"bus\":{\"secondary\":256}}}"),
		ON_ROOT("{\"bus\":0,\"slot\":1,\"slot\":2,\"function\":0,\"qdev_id\":\"a\"}"),
	};

	for (unsigned i = 0; i < ELEMENTSOF(bad); i++)
		cr_expect_eq(refuse(bad[i], "query-pci"), -EBADMSG, "%s", bad[i]);
}

Test(query_pci, contradictions)
{
	/* Listed on a bus other than its own. */
	cr_expect_eq(refuse(ON_ROOT(DEVICE("1", "0", "0", "a")), "listed on bus 0"), -EBADMSG);
	cr_expect_eq(
		refuse(ON_ROOT("{\"bus\":0,\"slot\":1,\"function\":0,\"qdev_id\":\"p\","
			       "\"pci_bridge\":{\"bus\":{\"secondary\":2},\"devices\":[" DEVICE(
				       "3", "0", "0", "a") "]}}"),
		       "listed on bus 2"),
		-EBADMSG);
	/* A guest that gives two bridges one number makes QEMU list what is behind it twice. */
	cr_expect_eq(refuse(ON_ROOT(DEVICE("0", "1", "0", "a") "," DEVICE("0", "2", "0", "a")),
			    "a is listed twice"),
		     -EBADMSG);
}

Test(query_pci, error_reply)
{
	cr_expect_eq(refuse("{\"id\":\"libvirt-412\",\"error\":{\"class\":\"CommandNotFound\","
			    "\"desc\":\"The command query-pci has not been found\"}}",
			    "has not been found"),
		     -EREMOTEIO);
	cr_expect_eq(refuse("{\"error\":{\"desc\":\"a\\nb\"}}", "(not printable)"), -EREMOTEIO);
}

Test(query_pci, no_devices)
{
	_cleanup_(query_pci_freep) QueryPci *q = accept("{\"return\":[]}");

	cr_expect_eq(q->n_functions, 0);
	cr_expect_null(query_pci_find(q, "a"));
	cr_expect_null(query_pci_find(q, ""));
}

/* QEMU 7.2, q35, stopped before its firmware ran: nothing is listed behind the root ports. */
static const char before_firmware[] =
	"{\"return\":[{\"bus\":0,\"devices\":[{\"irq_pin\":0,\"bus\":0,\"qdev_id\":\"\",\"slot\":0,"
	"\"class_info\":{\"class\":1536,\"desc\":\"Host bridge\"},\"id\":{\"device\":10688,"
	"\"subsystem-vendor\":6900,\"vendor\":32902,\"subsystem\":4352},\"function\":0,\"regions\":"
	"[]}"
	",{\"irq_pin\":1,\"bus\":0,\"pci_bridge\":{\"bus\":{\"prefetchable_range\":{\"limit\":"
	"1048575,"
	"\"base\":4293918720},\"memory_range\":{\"limit\":1048575,\"base\":4293918720},"
	"\"secondary\":0"
	",\"io_range\":{\"limit\":4095,\"base\":61440},\"number\":0,\"subordinate\":0}},"
	"\"qdev_id\":\"pci.1\",\"slot\":1,\"class_info\":{\"class\":1540,\"desc\":\"PCI bridge\"},"
	"\"id\":{\"device\":12,\"vendor\":6966},\"function\":0,\"regions\":[{\"prefetch\":false,"
	"\"mem_type_64\":false,\"bar\":0,\"size\":4096,\"address\":-1,\"type\":\"memory\"}]}]}],"
	"\"id\":\"libvirt-13\"}\r\n";

Test(query_pci, before_firmware)
{
	_cleanup_(query_pci_freep) QueryPci *q = accept(before_firmware);

	cr_expect_eq(q->n_functions, 1);
	cr_expect(query_pci_find(q, "pci.1")->assigned);
	cr_expect_null(query_pci_find(q, "virtio-serial0"));
}

/* Whatever lists a device behind a bridge that has no number yet gets the same meaning. */
Test(query_pci, bus_zero_behind_a_bridge)
{
	_cleanup_(query_pci_freep) QueryPci *q = accept(ON_ROOT(
		"{\"bus\":0,\"slot\":1,\"function\":0,\"qdev_id\":\"pci.1\",\"pci_bridge\":{"
		"\"bus\":{\"secondary\":0},\"devices\":[" DEVICE("0", "0", "0", "ua-tdi-a") "]}}"));

	cr_expect(query_pci_find(q, "pci.1")->assigned);
	cr_expect_not(query_pci_find(q, "ua-tdi-a")->assigned);
}

/* QEMU 7.2, q35, after firmware; a PCIe-to-PCI bridge with a bridge on it behind a root port. */
static const char after_firmware[] =
	"{\"return\":[{\"bus\":0,\"devices\":[{\"irq_pin\":1,\"bus\":0,\"pci_bridge\":{\"bus\":{"
	"\"prefetchable_range\":{\"limit\":4273995775,\"base\":4271898624},\"memory_range\":{"
	"\"limit\":4263510015,\"base\":4261412864},\"secondary\":1,\"io_range\":{\"limit\":49151,"
	"\"base\":49152},\"number\":0,\"subordinate\":1},\"devices\":[{\"irq_pin\":1,\"bus\":1,"
	"\"qdev_id\":\"virtio-serial0\",\"irq\":10,\"slot\":0,\"class_info\":{\"class\":1920},"
	"\"id\":{"
	"\"device\":4163,\"subsystem-vendor\":6900,\"vendor\":6900,\"subsystem\":4352},"
	"\"function\":0,"
	"\"regions\":[{\"prefetch\":true,\"mem_type_64\":true,\"bar\":4,\"size\":16384,"
	"\"address\":4271898624,\"type\":\"memory\"}]}]},\"qdev_id\":\"pci.1\",\"irq\":10,\"slot\":"
	"1,"
	"\"class_info\":{\"class\":1540,\"desc\":\"PCI "
	"bridge\"},\"id\":{\"device\":12,\"vendor\":6966}"
	",\"function\":0,\"regions\":[]},{\"bus\":0,\"slot\":1,\"function\":3,\"qdev_id\":\"pci."
	"4\","
	"\"pci_bridge\":{\"bus\":{\"number\":0,\"secondary\":4,\"subordinate\":6},\"devices\":[{"
	"\"bus\":4,\"slot\":0,\"function\":0,\"qdev_id\":\"pci.5\",\"pci_bridge\":{\"bus\":{"
	"\"number\":4,\"secondary\":5,\"subordinate\":6},\"devices\":[{\"bus\":5,\"slot\":31,"
	"\"function\":7,\"qdev_id\":\"ua-tdi-nic0\"},{\"bus\":5,\"slot\":2,\"function\":0,"
	"\"qdev_id\":\"pci.6\",\"pci_bridge\":{\"bus\":{\"number\":5,\"secondary\":6,"
	"\"subordinate\":6},\"devices\":[]}}]}}]}}]},{\"bus\":128,\"devices\":[{\"bus\":128,"
	"\"slot\":2,\"function\":0,\"qdev_id\":\"on-pxb\"}]}],\"id\":\"libvirt-411\"}\r\n";

Test(query_pci, nested_bridges_and_a_second_root)
{
	_cleanup_(query_pci_freep) QueryPci *q = accept(after_firmware);
	const GuestPciFunction *f;

	cr_expect_eq(q->n_functions, 7);
	f = query_pci_find(q, "ua-tdi-nic0");
	cr_assert_not_null(f);
	cr_expect(f->assigned && f->bus == 5 && f->slot == 31 && f->function == 7);
	f = query_pci_find(q, "virtio-serial0");
	cr_expect(f && f->assigned && f->bus == 1 && f->slot == 0 && f->function == 0);
	f = query_pci_find(q, "on-pxb");
	cr_expect(f && f->assigned && f->bus == 128 && f->slot == 2);
	f = query_pci_find(q, "pci.4");
	cr_expect(f && f->assigned && f->bus == 0 && f->slot == 1 && f->function == 3);
	cr_expect_null(query_pci_find(q, "ua-tdi-nic"));
}
