/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt as plugin/vmm/vmm.h shows it, scripted by a test: linked instead of the vmm library.
 * Calls are answered from the loop, in their order, or when they are let go.
 */
#pragma once

#include "vmm/vmm.h"

#include <stdio.h>

typedef struct FakeVmm {
	Vmm *vmm;	    /* NULL: tdid has none */
	bool hold;	    /* calls pile up unanswered */
	bool hold_attaches; /* in a domain, from the first attach on */
	bool hold_detaches;
	bool paused; /* every domain is */
	int read_result;
	int read_refused;   /* not even queued */
	int detach_refused; /* not even queued */
	int detach_result;  /* 0: VMM_DETACH_REQUESTED */
	const char *detach_message;
	int attach_result; /* 0: VMM_ATTACH_DONE */
	const char *attach_message;
	const char
		*attach_xml; /* what the domain has after it; libvirt then tells of attach_alias */
	const char *attach_alias;
	int open_result;
	int guest_fd; /* the guest's end of the channel that was opened last, -1: none */
	unsigned int reads, reads_of_pci, attaches, detaches, opens;
	char detached[256]; /* "UUID ALIAS BDF" of the last detach */
	char attached[256]; /* of the last attach */
} FakeVmm;

extern FakeVmm fake_vmm;

/* The domain is there from now on, running with this live XML, or (NULL) off. */
void fake_vmm_domain(const char *uuid, const char *name, const char *xml);
/* Where query-pci says that the guest has the device; bus 0: not assigned yet. */
void fake_vmm_place(const char *alias, uint8_t bus, uint8_t slot, uint8_t function);

void fake_vmm_connect(void);
void fake_vmm_disconnect(void);
void fake_vmm_dirty(const char *uuid, VmmDirtyReason reason, const char *alias);
/* Answers what was held. */
void fake_vmm_let_go(void);
/* Answers the first of them, and holds the others. */
void fake_vmm_answer_one(void);
/* Forgets domains and places, closes the guest's end. */
void fake_vmm_reset(void);
