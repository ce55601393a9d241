/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/mailbox.h"

#include <criterion/criterion.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

typedef struct Letter {
	Post post;
	char text;
} Letter;

static atomic_int n_freed;

typedef struct Reader {
	Mailbox *mailbox;
	sd_event *event;
	char text[64];
	char shuts_at;
	int n_posts_back;
} Reader;

static void post(Mailbox *m, char text)
{
	Letter *letter = calloc(1, sizeof(*letter));

	letter->text = text;
	mailbox_post(m, &letter->post);
}

static void deliver(Post *p, void *userdata)
{
	Letter *letter = (Letter *)p;
	Reader *reader = userdata;
	size_t n = strlen(reader->text);

	if (n + 1 < sizeof(reader->text))
		reader->text[n] = letter->text;
	if (letter->text == reader->shuts_at)
		mailbox_shut(reader->mailbox);
	else if (reader->n_posts_back-- > 0)
		post(reader->mailbox, 'z');
	free(letter);
}

static void drop(Post *p)
{
	n_freed++;
	free((Letter *)p);
}

static bool same_text(const Post *queued, const Post *p)
{
	return ((const Letter *)queued)->text == ((const Letter *)p)->text;
}

static const MailboxType plain = { .deliver = deliver, .free = drop };
static const MailboxType merging = { .deliver = deliver, .free = drop, .covers = same_text };

static void reader_init(Reader *reader, const MailboxType *type)
{
	memset(reader, 0, sizeof(*reader));
	n_freed = 0;
	cr_assert_eq(sd_event_new(&reader->event), 0);
	cr_assert_eq(mailbox_new(&reader->mailbox, reader->event, type, reader), 0);
}

static void reader_end(Reader *reader)
{
	mailbox_shut(reader->mailbox);
	mailbox_unref(reader->mailbox);
	sd_event_unref(reader->event);
}

Test(vmm_mailbox, nothing_is_delivered_outside_the_loop)
{
	Reader reader;

	reader_init(&reader, &plain);
	post(reader.mailbox, 'a');
	cr_expect_str_eq(reader.text, "");
	reader_end(&reader);
	cr_expect_str_eq(reader.text, "");
	cr_expect_eq(n_freed, 1);
}

Test(vmm_mailbox, order)
{
	Reader reader;

	reader_init(&reader, &plain);
	for (char c = 'a'; c <= 'f'; c++)
		post(reader.mailbox, c);
	cr_assert_eq(sd_event_run(reader.event, 0), 1);
	cr_expect_str_eq(reader.text, "abcdef");
	cr_expect_eq(sd_event_run(reader.event, 0), 0);
	reader_end(&reader);
	cr_expect_eq(n_freed, 0);
}

Test(vmm_mailbox, merges_what_still_waits)
{
	Reader reader;

	reader_init(&reader, &merging);
	for (int i = 0; i < 100; i++) {
		post(reader.mailbox, 'a');
		post(reader.mailbox, 'b');
	}
	cr_expect_eq(n_freed, 198);
	cr_assert_eq(sd_event_run(reader.event, 0), 1);
	post(reader.mailbox, 'a');
	cr_assert_eq(sd_event_run(reader.event, 0), 1);
	cr_expect_str_eq(reader.text, "aba");
	reader_end(&reader);
}

Test(vmm_mailbox, held)
{
	Reader reader;

	reader_init(&reader, &plain);
	cr_expect_geq(mailbox_hold(reader.mailbox, true), 0);
	post(reader.mailbox, 'a');
	cr_expect_eq(sd_event_run(reader.event, 0), 0);
	cr_expect_geq(mailbox_hold(reader.mailbox, false), 0);
	cr_expect_eq(sd_event_run(reader.event, 0), 1);
	cr_expect_str_eq(reader.text, "a");
	reader_end(&reader);
}

Test(vmm_mailbox, deliveries_may_post)
{
	Reader reader;

	reader_init(&reader, &merging);
	reader.n_posts_back = 2;
	post(reader.mailbox, 'a');
	for (int i = 0; i < 3; i++)
		cr_assert_eq(sd_event_run(reader.event, 0), 1);
	cr_expect_str_eq(reader.text, "azz");
	reader_end(&reader);
}

Test(vmm_mailbox, deliveries_may_shut)
{
	Reader reader;

	reader_init(&reader, &plain);
	reader.shuts_at = 'b';
	for (char c = 'a'; c <= 'd'; c++)
		post(reader.mailbox, c);
	cr_assert_eq(sd_event_run(reader.event, 0), 1);
	cr_expect_str_eq(reader.text, "ab");
	cr_expect_eq(n_freed, 2);
	post(reader.mailbox, 'e');
	cr_expect_eq(n_freed, 3);
	cr_expect_eq(sd_event_run(reader.event, 0), 0);
	reader_end(&reader);
}

enum { N_THREADS = 4, N_EACH = 1000 };

static void *posting(void *userdata)
{
	Mailbox *m = userdata;

	for (int i = 0; i < N_EACH; i++)
		post(m, 'x');
	mailbox_unref(m);
	return NULL;
}

static int n_counted;

static void count(Post *p, void *userdata)
{
	n_counted++;
	free((Letter *)p);
}

Test(vmm_mailbox, many_threads)
{
	static const MailboxType counting = { .deliver = count, .free = drop };
	pthread_t threads[N_THREADS];
	Reader reader;

	reader_init(&reader, &counting);
	for (int i = 0; i < N_THREADS; i++)
		cr_assert_eq(
			pthread_create(&threads[i], NULL, posting, mailbox_ref(reader.mailbox)), 0);
	while (n_counted < N_THREADS * N_EACH)
		cr_assert_eq(sd_event_run(reader.event, 5000000), 1);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	reader_end(&reader);
	cr_expect_eq(n_freed, 0);
}
