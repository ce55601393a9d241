// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests to the user-space TSM, and its replies.
 *
 * A message is made by whoever asks (channel_call) and lies in `unread` until a read() has copied
 * it out. From then on it lies in `taken`, until the reply comes or the asker gives up. Either way
 * it leaves the lists under the lock, and then only its owner touches it.
 *
 * Giving up is bounded by the deadline. Before the message was read, the outcome is known: nothing
 * was done. After that it is not, so the very same message goes back into `unread` as a CANCEL:
 * no allocation can fail at that moment, and the TSM reads it before anything that is asked later.
 *
 * What the kernel does whatever the TSM says (UNBIND, DISCONNECT) stays in `unread` without an
 * asker. If so much is left unread that QUEUE_MAX is reached, or memory runs out, the TSM's picture
 * can no longer be right: the channel is stale, all fails, and only another open helps.
 *
 * A TSM that neither read nor answered anything between taking a request and its deadline is
 * silent. To a silent one the next requests wait for a fraction of the deadline only, so that what
 * asks for many functions in a row (SR-IOV, disconnect) ends in bounded time too. One read() ends
 * its silence.
 */
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "internal.h"

#define QUEUE_MAX	1024
#define SILENT_FRACTION 20
#define ERROR_MAX	133 /* EHWPOISON, the last that user space knows by name */

enum message_state { MESSAGE_UNREAD, MESSAGE_TAKEN, MESSAGE_OVER };

struct message {
	struct list_head link;
	struct kref ref;
	struct tsm_proxy_request request;
	void *payload;
	enum message_state state;
	/* Nobody waits for a reply. */
	bool told;
	bool aborted;
	/* How often the TSM had been heard when it took this. */
	u64 heard;
	unsigned long deadline;
	struct completion done;
	int result;
	void *reply;
	u32 reply_len;
	u64 code;
};

static DEFINE_SPINLOCK(lock);
static LIST_HEAD(unread);
static LIST_HEAD(taken);
static unsigned int unread_count;
static bool opened, stale, silent;
static u64 last_id;
/* How often the TSM has read or answered */
static u64 heard;
static unsigned int calls;
static DECLARE_WAIT_QUEUE_HEAD(readable);
static DECLARE_WAIT_QUEUE_HEAD(idle);
/* One read() at a time: what it looks at first is what it takes. */
static DEFINE_MUTEX(read_lock);

static void message_release(struct kref *ref)
{
	struct message *message = container_of(ref, struct message, ref);

	kvfree(message->payload);
	kvfree(message->reply);
	kfree(message);
}

static void message_put(struct message *message)
{
	kref_put(&message->ref, message_release);
}

static struct message *message_new(const struct tsm_proxy_request *request)
{
	struct message *message = kzalloc(sizeof(*message), GFP_KERNEL);

	if (!message)
		return NULL;
	kref_init(&message->ref);
	init_completion(&message->done);
	message->request = *request;
	return message;
}

static void enqueue(struct message *message)
{
	lockdep_assert_held(&lock);
	message->request.id = ++last_id;
	message->state = MESSAGE_UNREAD;
	list_add_tail(&message->link, &unread);
	unread_count++;
	wake_up(&readable);
}

static void dequeue(struct message *message)
{
	lockdep_assert_held(&lock);
	if (message->state == MESSAGE_UNREAD)
		unread_count--;
	list_del(&message->link);
	message->state = MESSAGE_OVER;
}

static void finish(struct message *message, int result)
{
	dequeue(message);
	message->result = result;
	complete(&message->done);
}

/* Everybody who waits is told, and nobody may ask any more. */
static void fail_all(void)
{
	struct message *message, *next;

	lockdep_assert_held(&lock);
	opened = false;
	list_for_each_entry_safe(message, next, &unread, link) {
		if (message->told) {
			dequeue(message);
			message_put(message);
		} else {
			finish(message, -ENOTCONN);
		}
	}
	list_for_each_entry_safe(message, next, &taken, link)
		finish(message, -ECONNRESET);
	wake_up(&readable);
}

static void go_stale(void)
{
	lockdep_assert_held(&lock);
	if (!opened)
		return;
	stale = true;
	fail_all();
	pr_err("tsm-proxy: the user-space TSM leaves its requests unread; it has to open the device anew\n");
}

/* The owner's reference becomes the queue's. */
static void enqueue_told(struct message *message)
{
	lockdep_assert_held(&lock);
	message->told = true;
	enqueue(message);
	if (unread_count >= QUEUE_MAX)
		go_stale();
}

/*
 * The asker no longer waits. @unread_error and @taken_error: what it is told if the TSM has not,
 * or has, taken the request. True if the message is the asker's to put.
 */
static bool give_up(struct message *message, bool final, int unread_error, int taken_error,
		    int *result)
{
	u64 id = message->request.id;

	lockdep_assert_held(&lock);
	if (message->state == MESSAGE_OVER) {
		*result = message->result;
		return true;
	}
	if (message->state == MESSAGE_UNREAD) {
		*result = unread_error;
		if (final) {
			message->told = true;
			if (unread_count >= QUEUE_MAX)
				go_stale();
			return false;
		}
		dequeue(message);
		return true;
	}
	*result = taken_error;
	dequeue(message);
	message->request = (struct tsm_proxy_request){
		.op = TSM_PROXY_OP_CANCEL,
		.target = id,
		.function = message->request.function,
		.dsm = message->request.dsm,
	};
	enqueue_told(message);
	return false;
}

void channel_open(void)
{
	guard(spinlock)(&lock);
	opened = true;
	stale = false;
	silent = false;
}

/* When it returns, no call waits for this TSM, and each that comes is refused. */
void channel_close(void)
{
	scoped_guard(spinlock, &lock)
		fail_all();
	wait_event(idle, !READ_ONCE(calls));
}

static long wait_for(struct message *message, bool uninterruptible, unsigned long timeout)
{
	if (uninterruptible)
		return wait_for_completion_timeout(&message->done, timeout);
	return wait_for_completion_killable_timeout(&message->done, timeout);
}

/* hurry: a silent TSM has a moment in which it may show that it is back. */
static long wait_for_answer(struct message *message, bool uninterruptible, bool hurry,
			    unsigned long timeout)
{
	unsigned long first = hurry ? timeout / SILENT_FRACTION : timeout;
	long left = wait_for(message, uninterruptible, first);

	if (left == 0 && hurry) {
		scoped_guard(spinlock, &lock)
			hurry = message->state == MESSAGE_UNREAD;
		if (!hurry)
			left = wait_for(message, uninterruptible, timeout - first);
	}
	return left;
}

/**
 * channel_call() - asks the user-space TSM, and waits for its answer
 * @call: what to ask; see there
 *
 * Return: the reply's error, or one of those that tsm-proxy.h lists for all operations.
 */
int channel_call(struct proxy_call *call)
{
	unsigned long timeout = msecs_to_jiffies(proxy_deadline_ms());
	struct message *message = message_new(&call->request);
	bool mine, hurry;
	int result;
	long left;

	call->reply = NULL;
	call->reply_len = 0;
	call->code = 0;
	if (!message) {
		kvfree(call->payload);
		guard(spinlock)(&lock);
		if (call->final)
			go_stale();
		return -ENOMEM;
	}
	message->payload = call->payload;
	message->deadline = jiffies + timeout;

	scoped_guard(spinlock, &lock) {
		result = 0;
		if (!opened)
			result = -ENOTCONN;
		else if (call->gone && READ_ONCE(*call->gone))
			result = -ENODEV;
		else if (unread_count >= QUEUE_MAX / 2 && !call->final)
			result = -ENOBUFS;
		if (result == 0) {
			calls++;
			enqueue(message);
			hurry = silent;
		}
	}
	if (result) {
		message_put(message);
		return result;
	}

	left = wait_for_answer(message, call->uninterruptible, hurry, timeout);

	scoped_guard(spinlock, &lock) {
		if (left == 0 && message->state == MESSAGE_UNREAD)
			silent = true;
		if (left == 0 && message->state == MESSAGE_TAKEN && message->heard == heard)
			silent = true;
		if (message->aborted)
			mine = give_up(message, false, -ENODEV, -ECANCELED, &result);
		else if (left < 0)
			mine = give_up(message, call->final, -EINTR, -EINTR, &result);
		else
			mine = give_up(message, call->final, -ETIME, -ETIMEDOUT, &result);
		if (--calls == 0)
			wake_up_all(&idle);
	}
	if (mine) {
		swap(call->reply, message->reply);
		call->reply_len = message->reply_len;
		call->code = message->code;
		message_put(message);
	}
	return result;
}

/* Tells the user-space TSM, if there is one, and waits for nothing. */
void channel_tell(const struct tsm_proxy_request *request)
{
	struct message *message = message_new(request);

	guard(spinlock)(&lock);
	if (!opened) {
		kfree(message);
		return;
	}
	if (message)
		enqueue_told(message);
	else
		go_stale();
}

static void abort_in(struct list_head *list, u32 function)
{
	struct message *message;

	lockdep_assert_held(&lock);
	list_for_each_entry(message, list, link) {
		if (message->told || message->request.function != function ||
		    (message->request.op != TSM_PROXY_OP_BIND &&
		     message->request.op != TSM_PROXY_OP_GUEST_REQ))
			continue;
		message->aborted = true;
		complete(&message->done);
	}
}

/* Ends BIND and GUEST_REQ of a function that goes away: their askers give up. */
void channel_abort(u32 function)
{
	guard(spinlock)(&lock);
	abort_in(&unread, function);
	abort_in(&taken, function);
}

/* --- the TSM's side --- */

/* The oldest unread message, with a reference; NULL if there is none. */
static struct message *first_unread(void)
{
	struct message *message;

	guard(spinlock)(&lock);
	message = list_first_entry_or_null(&unread, struct message, link);
	if (message)
		kref_get(&message->ref);
	return message;
}

static int copy_out(struct message *message, char __user *buf, size_t len)
{
	struct tsm_proxy_request request = message->request;
	long left = message->told ? 0 : (long)(message->deadline - jiffies);

	if (len < sizeof(request) + request.payload_len)
		return -EMSGSIZE;
	request.remaining = left > 0 ? jiffies_to_msecs(left) : 0;
	if (copy_to_user(buf, &request, sizeof(request)) ||
	    copy_to_user(buf + sizeof(request), message->payload, request.payload_len))
		return -EFAULT;
	return 0;
}

/* False if its asker has given up meanwhile. */
static bool take(struct message *message)
{
	guard(spinlock)(&lock);
	if (message->state != MESSAGE_UNREAD)
		return false;
	heard++;
	silent = false;
	dequeue(message);
	if (message->told) {
		message_put(message);
		return true;
	}
	message->heard = heard;
	message->state = MESSAGE_TAKEN;
	list_add_tail(&message->link, &taken);
	return true;
}

ssize_t channel_read(struct file *file, char __user *buf, size_t len)
{
	ACQUIRE(mutex_intr, reading)(&read_lock);
	int result = ACQUIRE_ERR(mutex_intr, &reading);

	if (result)
		return result;
	for (;;) {
		struct message *message = first_unread();
		ssize_t size;
		bool was_taken;

		if (!message) {
			if (READ_ONCE(stale))
				return -ESTALE;
			if (file->f_flags & O_NONBLOCK)
				return -EAGAIN;
			result = wait_event_interruptible(readable, READ_ONCE(unread_count) ||
									    READ_ONCE(stale));
			if (result)
				return result;
			continue;
		}
		size = sizeof(message->request) + message->request.payload_len;
		result = copy_out(message, buf, len);
		was_taken = result == 0 && take(message);
		message_put(message);
		if (result)
			return result;
		if (was_taken)
			return size;
	}
}

ssize_t channel_write(const char __user *buf, size_t len)
{
	struct tsm_proxy_reply reply;
	void *payload __free(kvfree) = NULL;
	struct message *message;

	if (len < sizeof(reply))
		return -EINVAL;
	if (copy_from_user(&reply, buf, sizeof(reply)))
		return -EFAULT;
	if (reply.error > 0 || reply.error < -ERROR_MAX ||
	    reply.payload_len > TSM_PROXY_PAYLOAD_MAX || len != sizeof(reply) + reply.payload_len)
		return -EINVAL;
	if (reply.payload_len) {
		payload = kvmalloc(reply.payload_len, GFP_KERNEL_ACCOUNT);
		if (!payload)
			return -ENOMEM;
		if (copy_from_user(payload, buf + sizeof(reply), reply.payload_len))
			return -EFAULT;
	}

	guard(spinlock)(&lock);
	if (stale)
		return -ESTALE;
	heard++;
	silent = false;
	list_for_each_entry(message, &taken, link) {
		if (message->request.id != reply.id)
			continue;
		if (reply.payload_len > message->request.reply_max)
			return -EMSGSIZE;
		message->code = reply.code;
		message->reply = no_free_ptr(payload);
		message->reply_len = reply.payload_len;
		finish(message, reply.error);
		return len;
	}
	return -ENOENT;
}

__poll_t channel_poll(struct file *file, struct poll_table_struct *wait)
{
	poll_wait(file, &readable, wait);
	guard(spinlock)(&lock);
	if (stale)
		return EPOLLERR | EPOLLHUP;
	return EPOLLOUT | EPOLLWRNORM | (unread_count ? EPOLLIN | EPOLLRDNORM : 0);
}
