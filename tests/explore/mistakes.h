/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mistakes made on purpose, to see that the explorer notices each. */
#pragma once

#include "model.h"

/* 0 when all are noticed (and the engine without any is found right), 1 when not, 2 on failure. */
int mistakes_prove(const Scenario *scenarios, size_t n_scenarios);
