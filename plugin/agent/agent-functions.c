/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The functions that nobody has offered: one that the policy lists gets its driver, others none. */
#include "agent/agent-private.h"

#include "agent/accepted.h"
#include "agent/function.h"
#include "rpc/log.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PCI_DEVICES	 "/sys/bus/pci/devices"
#define PCI_CLASS_BRIDGE 0x06
#define EVICT_USEC	 (10 * USEC_PER_SEC)
#define PROBE_USEC	 (60 * USEC_PER_SEC)

static void chore_next(Agent *agent);

static void on_chore(void *userdata, int result)
{
	Agent *agent = userdata;
	Chore *chore = TAILQ_FIRST(&agent->chores);
	char text[BDF_STRING_SIZE], driver[FUNCTION_DRIVER_SIZE];

	agent->task = task_free(agent->task);
	bdf_format(chore->address, text);
	if (!chore->probe && result < 0)
		log_error("%s: its driver could not be unbound: %s", text, strerror(-result));
	else if (chore->probe && function_driver(agent->shared.tree, chore->address, driver) == 0)
		log_info("%s: driver %s bound without evidence, as the policy says", text, driver);
	TAILQ_REMOVE(&agent->chores, chore, link);
	free(chore);
	chore_next(agent);
}

static int chore_start(Agent *agent, const Chore *chore)
{
	char text[BDF_STRING_SIZE], driver[FUNCTION_DRIVER_SIZE];
	const Tree *tree = agent->shared.tree;
	_cleanup_free_ char *path = NULL;
	bool bound = function_driver(tree, chore->address, driver) == 0;
	int r;

	/* It has come about otherwise, or somebody offered the function meanwhile. */
	if (bound == chore->probe || (chore->probe && agent_find(agent, chore->address, NULL)))
		return -EALREADY;
	r = chore->probe ? tree_path(tree, &path, "/sys/bus/pci/drivers_probe")
			 : tree_path(tree, &path, "/sys/bus/pci/drivers/%s/unbind", driver);
	if (r < 0)
		return r;
	return task_new(&agent->task, agent->shared.loop, path, bdf_format(chore->address, text),
			chore->probe ? PROBE_USEC : EVICT_USEC, on_chore, agent);
}

static void chore_next(Agent *agent)
{
	Chore *chore;

	while (!agent->task && (chore = TAILQ_FIRST(&agent->chores))) {
		int r = chore_start(agent, chore);

		if (r == 0)
			return;
		if (r != -EALREADY)
			log_error("a function's driver cannot be handled: %s", strerror(-r));
		TAILQ_REMOVE(&agent->chores, chore, link);
		free(chore);
	}
}

static void chore_add(Agent *agent, Bdf address, bool probe)
{
	Chore *chore = calloc(1, sizeof(*chore));

	if (!chore) {
		log_error("out of memory");
		return;
	}
	chore->address = address;
	chore->probe = probe;
	TAILQ_INSERT_TAIL(&agent->chores, chore, link);
	chore_next(agent);
}

void agent_function_look(Agent *agent, Bdf address, bool news)
{
	char text[BDF_STRING_SIZE], driver[FUNCTION_DRIVER_SIZE];
	uint32_t class_code;
	uint16_t vendor;
	bool bound;

	if (function_kind(agent->shared.tree, address, &vendor, &class_code) < 0)
		return;
	bdf_format(address, text);
	bound = function_driver(agent->shared.tree, address, driver) == 0;
	if (agent_policy_is_unverified(agent->shared.policy, address, vendor, class_code)) {
		if (!bound)
			chore_add(agent, address, true);
		return;
	}
	if (!news || class_code >> 16 == PCI_CLASS_BRIDGE ||
	    accepted_knows_address(agent->shared.tree, address))
		return;
	if (bound)
		log_warning("%s: driver %s was there before this agent, without evidence: start "
			    "the agent earlier, or list the function as unverified",
			    text, driver);
	else
		log_info("%s: stays without a driver until it is accepted", text);
}

void agent_functions_look(Agent *agent, bool news)
{
	_cleanup_free_ char *path = NULL;
	struct dirent *entry;
	DIR *functions;
	Bdf address;

	if (tree_path(agent->shared.tree, &path, PCI_DEVICES) < 0)
		return;
	functions = opendir(path);
	if (!functions) {
		log_warning("%s: %s", PCI_DEVICES, strerror(errno));
		return;
	}
	while ((entry = readdir(functions)))
		if (bdf_parse(&address, entry->d_name) == 0 && !agent_find(agent, address, NULL))
			agent_function_look(agent, address, news);
	closedir(functions);
}

void agent_function_bound(Agent *agent, Bdf address, const char *driver)
{
	char text[BDF_STRING_SIZE];
	uint32_t class_code;
	uint16_t vendor;

	if (function_kind(agent->shared.tree, address, &vendor, &class_code) < 0 ||
	    class_code >> 16 == PCI_CLASS_BRIDGE ||
	    agent_policy_is_unverified(agent->shared.policy, address, vendor, class_code) ||
	    accepted_knows_address(agent->shared.tree, address))
		return;
	log_warning("%s: driver %s bound without evidence, unbinding it: this kernel does not heed "
		    "drivers_autoprobe for hot-plugged functions, or someone bound it",
		    bdf_format(address, text), driver);
	chore_add(agent, address, false);
}

void agent_functions_stop(Agent *agent)
{
	Chore *chore;

	if (agent->task)
		task_free(agent->task);
	while ((chore = TAILQ_FIRST(&agent->chores))) {
		TAILQ_REMOVE(&agent->chores, chore, link);
		free(chore);
	}
}
