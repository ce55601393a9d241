/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "answer.h"

#include "core/qgs-message.h"

#include <errno.h>

static int resize(Blob *quote, size_t size)
{
	uint8_t *resized;

	if (!size || size == quote->size)
		return 0;
	resized = realloc(quote->data, size);
	if (!resized)
		return -ENOMEM;
	if (size > quote->size)
		memset(resized + quote->size, 0, size - quote->size);
	*quote = (Blob){ resized, size };
	return 0;
}

int answer_report(const Enclave *enclave, const void *report, size_t size, size_t quote_size,
		  Blob *ret, const char **ret_why)
{
	_cleanup_blob_ Blob quote = {};
	int r;

	r = enclave_quote(enclave, report, size, &quote, ret_why);
	if (r == 0)
		r = resize(&quote, quote_size);
	if (r == 0)
		*ret = blob_steal(&quote);
	return r;
}

static uint32_t error_of(int r)
{
	switch (r) {
	case 0: return QGS_SUCCESS;
	case -ENOMEM: return QGS_ERROR_OUT_OF_MEMORY;
	case -EBADMSG:
	case -EOPNOTSUPP: return QGS_ERROR_INVALID_PARAMETER;
	default: return QGS_ERROR_UNEXPECTED;
	}
}

int answer_message(const Enclave *enclave, const void *message, size_t size, size_t quote_size,
		   Blob *ret, const char **ret_why)
{
	QgsMessage answer = { .major = QGS_MAJOR, .minor = QGS_MINOR }, request;
	_cleanup_blob_ Blob quote = {};
	int r;

	*ret_why = NULL;
	r = qgs_message_parse(&request, message, size, ret_why);
	if (r < 0)
		return r;
	switch (request.type) {
	case QGS_GET_QUOTE_REQUEST:
		answer.type = QGS_GET_QUOTE_RESPONSE;
		r = answer_report(enclave, request.quote_request.report.data,
				  request.quote_request.report.size, quote_size, &quote, ret_why);
		answer.error = error_of(r);
		answer.quote_response.quote = (QgsBytes){ quote.data, quote.size };
		break;
	case QGS_GET_PLATFORM_INFO_REQUEST: {
		static const uint8_t cpu_svn[TDREPORT_CPUSVN_SIZE];

		answer.type = QGS_GET_PLATFORM_INFO_RESPONSE;
		answer.platform_info.qe_svn = ENCLAVE_SVN;
		answer.platform_info.pce_svn = ENCLAVE_PCE_SVN;
		answer.platform_info.platform_id =
			(QgsBytes){ (const uint8_t *)ENCLAVE_ID, ENCLAVE_ID_SIZE };
		answer.platform_info.cpu_svn = (QgsBytes){ cpu_svn, sizeof(cpu_svn) };
		break;
	}
	case QGS_GET_COLLATERAL_REQUEST:
		/* Nobody publishes any for a platform that does not exist. */
		answer.type = QGS_GET_COLLATERAL_RESPONSE;
		answer.error = QGS_ERROR_UNEXPECTED;
		*ret_why = "there is no collateral for an emulated platform";
		break;
	default: *ret_why = "an answer, not a request"; return -EBADMSG;
	}
	return qgs_message_format(&ret->data, &ret->size, &answer);
}

int answer_refusal(const void *message, size_t size, uint32_t error, Blob *ret)
{
	QgsMessage answer = { .major = QGS_MAJOR, .minor = QGS_MINOR, .error = error }, request;

	(void)qgs_message_parse(&request, message, size, NULL);
	switch (request.type) {
	case QGS_GET_PLATFORM_INFO_REQUEST: answer.type = QGS_GET_PLATFORM_INFO_RESPONSE; break;
	case QGS_GET_COLLATERAL_REQUEST: answer.type = QGS_GET_COLLATERAL_RESPONSE; break;
	default: answer.type = QGS_GET_QUOTE_RESPONSE; break;
	}
	return qgs_message_format(&ret->data, &ret->size, &answer);
}
