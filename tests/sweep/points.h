/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The calls of tdid that may fail. Each is a point: what is called, the object that it is called
 * on, and the how-manieth of these two it is. One point of a run can be made to fail once, or to be
 * the last thing that the process does.
 *
 * Only tdid's own code is counted: its objects are linked with --wrap (meson.build), the libraries
 * that it uses are not. Objects are named the same in every run: files and sockets by the end of
 * their path, with a QEMU's pid taken out.
 */
#pragma once

#include <stdbool.h>

/*
 * From the environment: TDID_SWEEP_POINT="fail|kill CALL OBJECT NUMBER" (or none);
 * TDID_SWEEP_ARMED, when counting is to begin at once; TDID_SWEEP_TRACE, to have each point said on
 * standard output: "point CALL OBJECT NUMBER".
 */
void points_init(void);

/* Counting is on or off. What replays the surroundings of tdid has it off while it works. */
bool points_arm(bool on);

/* A call is about to be made. Not 0: it is to fail, with this errno. */
int point(const char *call, const char *object);

/* What this descriptor is of. */
void points_name_fd(int fd, const char *name);
