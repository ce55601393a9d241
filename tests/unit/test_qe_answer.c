/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-qe.h"

#include "core/qgs-message.h"
#include "quote/emulated/answer.h"

#include <errno.h>

static Enclave *enclave;
static uint8_t report[TDREPORT_SIZE];
static QgsMessage answer;
static Blob bytes; /* what `answer` points into */

static void set_up(void)
{
	testing_host_new();
	enclave = testing_enclave();
	testing_report(report);
}

static void tear_down(void)
{
	enclave_free(enclave);
	blob_done(&bytes);
	testing_host_remove();
}

TestSuite(qe_answer, .init = set_up, .fini = tear_down);

/* The service's word on it, with `answer` when there is one. */
static int ask(const QgsMessage *question, size_t quote_size)
{
	_cleanup_blob_ Blob asked = {};
	const char *why = NULL;
	uint32_t size;
	int r;

	blob_done(&bytes);
	cr_assert_eq(qgs_message_format(&asked.data, &asked.size, question), 0);
	r = answer_message(enclave, asked.data + QGS_FRAME_SIZE, asked.size - QGS_FRAME_SIZE,
			   quote_size, &bytes, &why);
	if (r < 0)
		return r;
	cr_assert_eq(qgs_frame_parse(&size, bytes.data, QGS_MESSAGE_MAX), 0);
	cr_assert_eq(size, bytes.size - QGS_FRAME_SIZE);
	cr_assert_eq(qgs_message_parse(&answer, bytes.data + QGS_FRAME_SIZE, size, &why), 0, "%s",
		     why);
	cr_assert(answer.major == QGS_MAJOR && answer.minor == QGS_MINOR);
	return 0;
}

static QgsMessage question_of(QgsType type)
{
	QgsMessage question = { .major = QGS_MAJOR, .minor = QGS_MINOR, .type = type };

	if (type == QGS_GET_QUOTE_REQUEST)
		question.quote_request.report = (QgsBytes){ report, sizeof(report) };
	return question;
}

Test(qe_answer, says_nothing_to_nonsense)
{
	static const uint8_t junk[QGS_HEADER_SIZE];
	QgsMessage question = question_of(QGS_GET_QUOTE_RESPONSE);
	const char *why;

	cr_assert_lt(answer_message(enclave, junk, 0, 0, &bytes, &why), 0);
	cr_assert_lt(answer_message(enclave, junk, sizeof(junk), 0, &bytes, &why), 0);
	question.quote_response.quote = (QgsBytes){ report, 1 };
	cr_assert_eq(ask(&question, 0), -EBADMSG, "it is an answer itself");
	cr_assert_null(bytes.data);
}

Test(qe_answer, refuses_a_bad_report_with_an_error)
{
	QgsMessage question = question_of(QGS_GET_QUOTE_REQUEST);
	const char *why = NULL;

	report[TDREPORT_SIZE - 1] ^= 1;
	cr_assert_eq(ask(&question, 0), 0);
	cr_assert_eq(answer.type, QGS_GET_QUOTE_RESPONSE);
	cr_assert_eq(answer.error, QGS_ERROR_INVALID_PARAMETER);
	question.quote_request.report.size--;
	cr_assert_eq(ask(&question, 0), 0);
	cr_assert_eq(answer.error, QGS_ERROR_INVALID_PARAMETER);
	blob_done(&bytes);
	cr_assert_eq(answer_report(enclave, report, sizeof(report), 0, &bytes, &why), -EBADMSG);
	cr_assert_not_null(why);
}

Test(qe_answer, refuses_in_kind)
{
	static const QgsType types[] = { QGS_GET_QUOTE_REQUEST, QGS_GET_PLATFORM_INFO_REQUEST };

	for (size_t i = 0; i < ELEMENTSOF(types); i++) {
		QgsMessage question = question_of(types[i]);
		_cleanup_blob_ Blob asked = {};

		blob_done(&bytes);
		cr_assert_eq(qgs_message_format(&asked.data, &asked.size, &question), 0);
		cr_assert_eq(answer_refusal(asked.data + QGS_FRAME_SIZE,
					    asked.size - QGS_FRAME_SIZE, 0xe001, &bytes),
			     0);
		cr_assert_eq(qgs_message_parse(&answer, bytes.data + QGS_FRAME_SIZE,
					       bytes.size - QGS_FRAME_SIZE, NULL),
			     0);
		cr_assert_eq(answer.type, types[i] + 1);
		cr_assert_eq(answer.error, 0xe001);
	}
}

Test(qe_answer, quotes_of_the_size_that_is_wanted)
{
	QgsMessage question = question_of(QGS_GET_QUOTE_REQUEST);
	size_t own;

	cr_assert_eq(ask(&question, 0), 0);
	cr_assert_eq(answer.error, QGS_SUCCESS);
	cr_assert_eq(answer.quote_response.selected_id.size, 0);
	own = answer.quote_response.quote.size;
	for (size_t size = ANSWER_QUOTE_MIN; size <= ANSWER_QUOTE_MAX; size *= 2) {
		cr_assert_eq(ask(&question, size), 0);
		cr_assert_eq(answer.quote_response.quote.size, size);
		for (size_t i = own; i < size; i++)
			cr_assert_eq(answer.quote_response.quote.data[i], 0);
	}
}

Test(qe_answer, knows_the_platform_and_no_collateral)
{
	QgsMessage question = question_of(QGS_GET_PLATFORM_INFO_REQUEST);

	cr_assert_eq(ask(&question, 0), 0);
	cr_assert(answer.type == QGS_GET_PLATFORM_INFO_RESPONSE && answer.error == QGS_SUCCESS);
	cr_assert_eq(answer.platform_info.platform_id.size, ENCLAVE_ID_SIZE);
	cr_assert_eq(answer.platform_info.cpu_svn.size, TDREPORT_CPUSVN_SIZE);
	question = question_of(QGS_GET_COLLATERAL_REQUEST);
	question.collateral_request.fmspc = (QgsBytes){ report, 6 };
	question.collateral_request.pck_ca = (QgsBytes){ report, 8 };
	cr_assert_eq(ask(&question, 0), 0);
	cr_assert(answer.type == QGS_GET_COLLATERAL_RESPONSE && answer.error != QGS_SUCCESS);
}
