/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The boot of a guest that its binds are of: a reset voids them.
 *
 * A reset is told by libvirt, and only while tdid is connected to it; QEMU cannot be asked, once
 * the firmware has numbered the buses as before. So with every new connection there is a doubt,
 * until the agent, whose port is opened anew then, says which boot it is in, or as long as a boot
 * may take. A reset of the guest resets its functions, which is a fault of theirs to the TSM:
 * meanwhile such a fault is left to what the agent says, and no policy takes the device away for
 * it, or binds it again.
 *
 * Another boot costs verbs, records and questions to libvirt, and an agent can say it as often as
 * it likes. More often than TVM_BOOT_CHANGES times in 30 s no guest boots: until that is over such
 * a Hello opens no session. The agent says it again.
 */
#pragma once

#include "daemon/registry.h"

/* libvirt is connected, maybe again. */
void guest_boot_doubt(Tvm *tvm);
/* That the assignment has this fault may come from a reset of its guest, and nothing else. */
bool guest_boot_doubted(const Assignment *assignment);

/*
 * QEMU has reset the guest: its agent's session and every bind are void, and each device starts
 * over. What the TSM said of the functions because of that comes before.
 */
void guest_boot_reset(Tdid *tdid, Tvm *tvm);

/* Whether that is yet another one, and so too soon. */
bool guest_boot_is_too_soon(const Tvm *tvm, const char *boot_id);

/*
 * The guest's agent says which boot it runs in. After a reset every bind of before is void: each
 * device starts over, for a new acceptance by this boot.
 */
void guest_boot_said(Tdid *tdid, Tvm *tvm, const char *boot_id);
