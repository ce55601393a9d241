/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "view.h"

#include <errno.h>
#include <string.h>

void view_done(View *view)
{
	free(view->functions);
	free(view->kernel);
	free(view->told_tdis);
	free(view->told_dsms);
	*view = (View){};
}

const TeeIoFunction *view_function(const View *view, Bdf bdf)
{
	return tee_io_find(view->functions, view->n, bdf);
}

static KernelFunction *find_kernel(const View *view, Bdf bdf)
{
	for (size_t i = 0; i < view->n; i++)
		if (bdf_equal(view->kernel[i].bdf, bdf))
			return &view->kernel[i];
	return NULL;
}

const KernelFunction *view_kernel(const View *view, Bdf bdf)
{
	return find_kernel(view, bdf);
}

static void set_dsm(TeeIoFunction *function, const KernelFunction *kernel)
{
	function->dsm = kernel->dsm;
	function->stray = false;
}

int view_set_functions(View *view, TeeIoFunction *functions, size_t n)
{
	KernelFunction *kernel = calloc(n + 1, sizeof(*kernel));
	bool differs = n != view->n;

	if (!kernel) {
		free(functions);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		const KernelFunction *old = find_kernel(view, functions[i].host.bdf);

		kernel[i] =
			old ? *old
			    : (KernelFunction){ .bdf = functions[i].host.bdf, .error = -EAGAIN };
		/* It stays what it was as far as that is known. */
		if (functions[i].unreadable && old)
			functions[i] = view->functions[old - view->kernel];
		if (kernel[i].has_dsm)
			set_dsm(&functions[i], &kernel[i]);
		/* Both are in ascending order. */
		differs = differs ||
			  !bdf_equal(functions[i].host.bdf, view->functions[i].host.bdf) ||
			  !bdf_equal(functions[i].dsm, view->functions[i].dsm);
	}
	free(view->functions);
	free(view->kernel);
	view->functions = functions;
	view->kernel = kernel;
	view->n = n;
	return differs;
}

void view_set_kernel(View *view, const KernelFunction *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		KernelFunction *f = find_kernel(view, list[i].bdf);

		if (!f || list[i].error < 0)
			continue;
		*f = list[i];
		if (f->has_dsm)
			set_dsm(&view->functions[f - view->kernel], f);
	}
}

void view_forget(View *view, Bdf bdf)
{
	KernelFunction *f = find_kernel(view, bdf);

	if (f)
		f->error = -EAGAIN;
}

ViewTdi view_tdi(const View *view, size_t index, const Bindings *bindings,
		 const Companion *companion)
{
	const KernelFunction *k = &view->kernel[index];
	const CompanionTdi *c = companion ? companion_tdi(companion, k->bdf) : NULL;
	/* What could not be read yet is as it was recorded. */
	const Binding *recorded = bindings_find(bindings, k->bdf);
	bool bound = k->error < 0 ? recorded != NULL : k->bound[0] != '\0';
	const Binding *b = bound ? recorded : NULL;
	ViewTdi tdi = {
		.device = k->bdf,
		.dsm = view->functions[index].dsm,
		.owned = b,
		.state = bound ? TDISP_CONFIG_LOCKED : TDISP_CONFIG_UNLOCKED,
	};

	if (b) {
		tdi.tvm = b->tvm;
		tdi.generation = b->generation;
	}
	/*
	 * The TSM's own word is the better one. When it cannot be asked, what it said of a bind
	 * holds as long as the kernel has the bind.
	 */
	if (c && (!companion_trouble(companion) || (bound && c->bound))) {
		tdi.owned = c->bound;
		tdi.tvm = c->bound ? c->tvm : (Uuid){};
		tdi.generation = c->bound ? c->generation : 0;
		tdi.state = c->state;
		tdi.accepted = c->accepted;
	}
	return tdi;
}

bool view_dsm(const View *view, size_t index, ViewDsm *ret)
{
	const TeeIoFunction *f = &view->functions[index];

	if (f->stray || !bdf_equal(f->dsm, f->host.bdf))
		return false;
	*ret = (ViewDsm){
		.dsm = f->dsm,
		.connected = view->tsm[0] && strcmp(view->kernel[index].connect, view->tsm) == 0,
	};
	return true;
}

static bool tdi_equal(const ViewTdi *a, const ViewTdi *b)
{
	return bdf_equal(a->device, b->device) && bdf_equal(a->dsm, b->dsm) &&
	       a->owned == b->owned && uuid_equal(a->tvm, b->tvm) &&
	       a->generation == b->generation && a->state == b->state && a->accepted == b->accepted;
}

static const ViewTdi *told_tdi(const View *view, Bdf device)
{
	for (size_t i = 0; i < view->n_told_tdis; i++)
		if (bdf_equal(view->told_tdis[i].device, device))
			return &view->told_tdis[i];
	return NULL;
}

static const ViewDsm *told_dsm(const View *view, Bdf dsm)
{
	for (size_t i = 0; i < view->n_told_dsms; i++)
		if (bdf_equal(view->told_dsms[i].dsm, dsm))
			return &view->told_dsms[i];
	return NULL;
}

static bool resting(const ViewTdi *tdi)
{
	return !tdi->owned && !tdi->accepted && tdi->state == TDISP_CONFIG_UNLOCKED;
}

int view_tell(View *view, const Bindings *bindings, const Companion *companion,
	      void (*tdi)(void *userdata, const ViewTdi *tdi),
	      void (*dsm)(void *userdata, const ViewDsm *dsm), void *userdata)
{
	_cleanup_free_ ViewTdi *tdis = calloc(view->n + 1, sizeof(*tdis));
	_cleanup_free_ ViewDsm *dsms = calloc(view->n + 1, sizeof(*dsms));
	size_t n_dsms = 0;

	if (!tdis || !dsms)
		return -ENOMEM;
	for (size_t i = 0; i < view->n; i++) {
		const ViewTdi *old = told_tdi(view, view->functions[i].host.bdf);

		tdis[i] = view_tdi(view, i, bindings, companion);
		/* One that is new and has nothing to tell is told by ListDevices. */
		if (old ? !tdi_equal(old, &tdis[i]) : !resting(&tdis[i]))
			tdi(userdata, &tdis[i]);
	}
	for (size_t i = 0; i < view->n; i++) {
		const ViewDsm *old;

		if (!view_dsm(view, i, &dsms[n_dsms]))
			continue;
		old = told_dsm(view, dsms[n_dsms].dsm);
		if (old ? old->connected != dsms[n_dsms].connected : dsms[n_dsms].connected)
			dsm(userdata, &dsms[n_dsms]);
		n_dsms++;
	}
	/* A function that is gone takes its bind with it. */
	for (size_t i = 0; i < view->n_told_tdis; i++) {
		ViewTdi gone = view->told_tdis[i];

		if (view_function(view, gone.device) || resting(&gone))
			continue;
		gone = (ViewTdi){ .device = gone.device, .dsm = gone.dsm };
		tdi(userdata, &gone);
	}
	free(view->told_tdis);
	free(view->told_dsms);
	view->told_tdis = steal_ptr(tdis);
	view->told_dsms = steal_ptr(dsms);
	view->n_told_tdis = view->n;
	view->n_told_dsms = n_dsms;
	return 0;
}
