/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/records.h"

#include "common/state-file.h"
#include "core/refusal.h"
#include "quote/door.h"
#include "rpc/json.h"
#include "rpc/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define RECORD_MAX     (16u * 1024)
#define RECORD_VERSION 1
#define NAME_SIZE      (UUID_STRING_SIZE + 5)

struct Records {
	char *path;
	int directory;
};

int records_open(Records **ret, const char *path, char **ret_error)
{
	Records *records;
	int fd = state_directory_open(path, 0700, ret_error);

	if (fd < 0)
		return fd;
	records = calloc(1, sizeof(*records));
	if (!records) {
		close(fd);
		return -ENOMEM;
	}
	records->directory = fd;
	records->path = strdup(path);
	if (!records->path) {
		records_free(records);
		return -ENOMEM;
	}
	*ret = records;
	return 0;
}

Records *records_free(Records *records)
{
	if (!records)
		return NULL;
	close(records->directory);
	free(records->path);
	free(records);
	return NULL;
}

const char *records_path(const Records *records)
{
	return records->path;
}

static const char *name_of(Uuid uuid, char name[static NAME_SIZE])
{
	uuid_format(uuid, name);
	strcat(name, ".json");
	return name;
}

int records_write(Records *records, const Domain *domain)
{
	_cleanup_(json_unrefp) json_object *record = NULL;
	char name[NAME_SIZE], uuid[UUID_STRING_SIZE];
	const char *text;
	int r;

	r = json_build(&record, J_INT("version", RECORD_VERSION),
		       J_STRING("domain", uuid_format(domain->uuid, uuid)),
		       J_STRING("name", domain->name), J_STRING("socket", domain->socket),
		       J_INT_IF(domain->pid > 0, "pid", domain->pid),
		       J_INT_IF(domain->pid > 0, "start_time", (int64_t)domain->start_time),
		       J_INT_IF(domain->cid > 0, "cid", domain->cid));
	if (r < 0)
		return r;
	text = json_object_to_json_string_ext(record, JSON_C_TO_STRING_PLAIN);
	if (!text)
		return -ENOMEM;
	return state_file_write(records->directory, name_of(domain->uuid, name), 0600,
				STATE_FILE_NO_GROUP, text, strlen(text));
}

void records_forget(Records *records, Relay *relay, Domain *domain)
{
	char name[NAME_SIZE];
	int r = state_file_remove(records->directory, name_of(domain->uuid, name));

	if (r < 0)
		log_error("%s: its record cannot be removed from %s: %s; after a restart of "
			  "tdi-quoted its socket is there again, for a while",
			  domain->label, records->path, strerror(-r));
	domains_remove(&relay->domains, domain);
}

typedef struct Record {
	const char *domain, *name, *socket;
	int64_t version, pid, start_time;
	uint32_t cid;
} Record;

static int restore(const Records *records, Relay *relay, const Record *record, char **ret_error)
{
	const DomainQemu qemu = { .pid = (pid_t)record->pid,
				  .start_time = (uint64_t)record->start_time,
				  .cid = record->cid };
	Domain *domain;
	Uuid uuid;
	int r;

	if (record->version != RECORD_VERSION || uuid_from_string(&uuid, record->domain) < 0)
		return refuse(ret_error, -EBADMSG, "of another version, or without a domain");
	r = domains_tvm(&relay->domains, uuid, &domain);
	if (r <= 0)
		return r < 0 ? r : -EEXIST;
	domain_set_name(domain, record->name);
	if (record->pid > 0) {
		r = domain_resume(domain, relay->event, &qemu);
		if (r == -ESRCH)
			log_info("%s: its QEMU %d, by the record in %s, has ended", domain->label,
				 (int)record->pid, records->path);
		else if (r < 0)
			log_warning("%s: its QEMU %d, by the record in %s, cannot be held: %s; "
				    "tried again each second",
				    domain->label, (int)record->pid, records->path, strerror(-r));
	} else {
		domain_await(domain, &relay->domains.unstarted);
	}
	if (!record->socket)
		return 0;
	domain->socket = strdup(record->socket);
	return domain->socket
		       ? door_of_domain(&domain->door, relay, domain, domain->socket, ret_error)
		       : -ENOMEM;
}

static int read_one(Records *records, Relay *relay, const char *name, char **ret_error)
{
	static const JsonField fields[] = {
		{ "version", JSON_FIELD_INT, JSON_REQUIRED, offsetof(Record, version) },
		{ "domain", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(Record, domain) },
		{ "name", JSON_FIELD_STRING, 0, offsetof(Record, name) },
		{ "socket", JSON_FIELD_STRING, 0, offsetof(Record, socket) },
		{ "pid", JSON_FIELD_INT, 0, offsetof(Record, pid), 1, INT32_MAX },
		{ "start_time", JSON_FIELD_INT, 0, offsetof(Record, start_time) },
		{ "cid", JSON_FIELD_U32, 0, offsetof(Record, cid) },
		{},
	};
	_cleanup_(json_unrefp) json_object *object = NULL;
	_cleanup_blob_ Blob text = {};
	Record record = {};
	int r = state_file_read(&text, records->directory, name, RECORD_MAX);

	if (r == 0)
		r = json_parse_limited(&object, (const char *)text.data, text.size, RECORD_MAX,
				       ret_error);
	if (r == 0)
		r = json_dispatch(object, fields, &record, 0, ret_error);
	return r < 0 ? r : restore(records, relay, &record, ret_error);
}

int records_restore(Records *records, Relay *relay, char **ret_error)
{
	int fd = openat(records->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!stream) {
		int r = -errno;

		if (fd >= 0)
			close(fd);
		return refuse(ret_error, r, "records: %s cannot be read: %s", records->path,
			      strerror(-r));
	}
	while ((entry = readdir(stream))) {
		_cleanup_free_ char *error = NULL;
		size_t size = strlen(entry->d_name);
		int r;

		if (size != NAME_SIZE - 1 || strcmp(entry->d_name + size - 5, ".json") != 0)
			continue;
		r = read_one(records, relay, entry->d_name, &error);
		if (r < 0)
			log_error("record %s/%s: %s; its domain has no socket until it is started "
				  "again",
				  records->path, entry->d_name, error ?: strerror(-r));
	}
	closedir(stream);
	return 0;
}
