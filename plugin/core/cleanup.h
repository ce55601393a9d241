/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owning locals that free themselves, and the macros to hand ownership on. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

/* Defines the cleanup function for a type whose destructor is `Type *func(Type *)`. */
#define DEFINE_CLEANUP(Type, func)                                                                 \
	static inline void func##p(Type **p)                                                       \
	{                                                                                          \
		if (*p)                                                                            \
			*p = func(*p);                                                             \
	}                                                                                          \
	struct cleanup_semicolon_##func

static inline void cleanup_freep(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_	 _cleanup_(cleanup_freep)
#define _cleanup_close_	 _cleanup_(cleanup_closep)
#define _cleanup_fclose_ _cleanup_(cleanup_fclosep)

/* Takes what `p` owns and leaves NULL, so that the local's cleanup does nothing. */
#define steal_ptr(p)                                                                               \
	({                                                                                         \
		__typeof__(p) _stolen = (p);                                                       \
		(p) = NULL;                                                                        \
		_stolen;                                                                           \
	})

static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
