/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What journal.c (which writes) and journal-image.c (which reads) share. */
#pragma once

#include "daemon/journal.h"

bool journal_name_valid(const char *name);

/* As journal_read, of an open file. */
int journal_read_image(JournalImage *ret, int fd);
