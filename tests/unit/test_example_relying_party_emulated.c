/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* examples/relying-party over what the emulated TSM gives to a TVM and its vendor publishes. */
#include "testing-example.h"
#include "testing-tvm.h"
#include "tsm/emulated/reference.h"

#define RID_0 0x0008

static Config *config;
static Tsm *tsm;
static TestingTvm tvm;
static TsmRefusal refusal;
static Statement statement;

/* The VF as its TVM sees it, beside testing-host.h's. */
static const Function function = {
	.address = { .device = 1 },
	.identity = { 0x8086, 0x10ca, 0x020000, 1, 0x8086, 0xa03c },
	.bars = { [0] = { true, true, true, 0x4000 }, [3] = { true, true, true, 0x4000 } },
	.starts = { [0] = 0x380000000000, [3] = 0x380000010000 },
};

static void on_tdi_changed(void *userdata, const TsmTdiStatus *s, const char *reason)
{
}

/* The root apart from the rest: whom to trust is the owner's to say. */
static void publish(void)
{
	_cleanup_free_ char *error = NULL, *text = NULL;
	json_object *published;
	const char *root;

	cr_assert_eq(reference_make(&published, config, testing_bdf(VF0), &error), 0, "%s", error);
	root = json_object_get_string(
		json_object_array_get_idx(json_get_array(published, "roots"), 0));
	testing_example_put(example.root, root);
	cr_assert_eq(json_format(&text, NULL, published), 0);
	testing_example_put(example.references, text);
	json_object_put(published);
}

static void bind_vf(uint64_t generation)
{
	const TsmBind bind = { testing_bdf(VF0), testing_uuid(TVM_A), RID_0, generation,
			       TDISP_LOCK_NO_FW_UPDATE };
	TdispState state;

	cr_assert_eq(tsm_bind(tsm, &bind, &state, &refusal), 0, "%s", refusal.reason);
}

static void start_tsm(void)
{
	TsmOptions options = { .tdi_changed = on_tdi_changed };
	_cleanup_free_ char *error = NULL, *path = NULL;
	Digest digest;

	testing_host_new();
	config = testing_config("", "");
	options.config = config;
	cr_assert_eq(tsm_new(&tsm, &options, &error), 0, "%s", error);
	cr_assert_eq(tsm_prepare_tvm(tsm, testing_uuid(TVM_A), &path, &refusal), 0);
	testing_tvm_new(&tvm, TVM_A, path);
	cr_assert_eq(testing_tvm_open(&tvm, tsm), 0);
	cr_assert_eq(tsm_connect(tsm, testing_bdf(PF), 0, &digest, &refusal), 0);
	bind_vf(1);
	cr_assert_eq(testing_tvm_info(&tvm, tsm, RID_0, &statement), GUEST_STATUS_OK);
}

static void stop_tsm(void)
{
	testing_tvm_done(&tvm);
	tsm_free(tsm);
	config_free(config);
	testing_host_remove();
}

static void setup(void)
{
	testing_example_init();
	start_tsm();
	publish();
}

static void done(void)
{
	stop_tsm();
	tsm_refusal_done(&refusal);
	testing_example_done();
}

TestSuite(example_relying_party_emulated, .init = setup, .fini = done, .timeout = 60);

static void ask_about(const Function *f)
{
	const TsmEvidence *e = &tvm.reply.evidence;
	const EvidenceBlobs blobs = {
		.certificates = { e->certificates.data, e->certificates.size },
		.vca = { e->vca.data, e->vca.size },
		.measurements = { e->measurements.data, e->measurements.size },
		.report = { e->report.data, e->report.size },
	};
	const EvidenceSubject subject = { .function = f,
					  .nonce = statement.nonce,
					  .statement = tvm.body,
					  .statement_size = tvm.body_size,
					  .stated = &statement,
					  .blobs = &blobs };

	testing_example_ask(&subject);
}

static void ask(void)
{
	ask_about(&function);
}

Test(example_relying_party_emulated, protects_nothing)
{
	ask();
	testing_example_refused("emulated and protects nothing");
}

Test(example_relying_party_emulated, accepted_when_that_is_allowed)
{
	example.allow_emulated = true;
	ask();
	testing_example_accepted();
}

Test(example_relying_party_emulated, accepted_again)
{
	example.allow_emulated = true;
	/* Another nonce, and measured anew. */
	cr_assert_eq(testing_tvm_info(&tvm, tsm, RID_0, &statement), GUEST_STATUS_OK);
	ask();
	testing_example_accepted();
}

Test(example_relying_party_emulated, another_function)
{
	Function other = function;

	example.allow_emulated = true;
	other.bars[3].size = 0x8000;
	ask_about(&other);
	testing_example_refused("BAR 3");
	other = function;
	other.address.function = 1;
	ask_about(&other);
	testing_example_refused("requester id");
}

Test(example_relying_party_emulated, another_root)
{
	example.allow_emulated = true;
	/* The same device, of an authority that is made anew. */
	stop_tsm();
	start_tsm();
	ask();
	testing_example_refused("is not the one that is trusted");
}
