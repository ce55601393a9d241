/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How an assignment moves. To be read beside the states in engine.h:
 *
 *   attached -> connecting -> waiting -> binding -> [bound ->] locked -> running
 *        any of these -> unbinding -> released   (taken out of the domain)
 *                        unbinding -> attached   (a fault: unbound first, then its policy)
 *
 *   attached, with a fault -> detaching -> failed, or held, or after a while connecting again
 *
 * With its DSM's session every bind is lost, in one step: the device takes its TDIs to ERROR, and
 * not every platform tells the host so.
 *
 * What is not listed changes nothing. Whatever the TSM may hold something of (binding to unbinding)
 * ends through unbinding only; an outcome that nobody knows ends in quarantined, which is left when
 * the TDI's quarantine ends, and not before.
 *
 * What becomes of a device with a fault is decided when its domain has been read anew: a guest that
 * is reset, or lets the device go, makes QEMU reset the function, which the TSM reports first. Then
 * the policy has no say, because the domain ends this bind by itself.
 *
 * A guest that lets a device go tells the TSM first, so the TSM's CONFIG_UNLOCKED comes before what
 * explains it: the guest's rejection, or libvirt's word that the device has been taken out. That
 * fault is therefore the weakest: a rejection takes its place, and a device that then leaves the
 * domain is released, not failed. A bind that the TSM does not hold any more was ended by others;
 * if the device turns out to have left the domain as well, that was why.
 *
 * Where the host issues LOCK or START it does so for a request that the TVM has open at the TSM, by
 * that request's number, once. Where that leads is for the TSM to say: an answer moves nothing. One
 * that is refused is not carried again by that number: the TVM has its time to ask anew, and then
 * the bind ends. One whose outcome is not known ends it at once.
 */
#include "core/engine-table.h"

#define S(x)	    ASSIGNMENT_##x
#define END_OF_BIND (ACT_WITHDRAW | ACT_TIMER_OFF | ACT_UNBIND)

const EngineTransition engine_transitions[] = {
	/* clang-format off */
	{ S(ATTACHED),   IN_DSM_NEEDED,      GUARD_NONE,          S(CONNECTING), 0, FAULT_NONE },
	{ S(ATTACHED),   IN_DSM_READY,       GUARD_READY,         S(BINDING),    ACT_BIND, FAULT_NONE },
	{ S(ATTACHED),   IN_DSM_READY,       GUARD_NONE,          S(WAITING),    ACT_TIMER, FAULT_NONE },
	{ S(ATTACHED),   IN_DSM_REFUSED,     GUARD_NONE,          S(ATTACHED),   ACT_LOOK, FAULT_CONNECT },
	{ S(ATTACHED),   IN_FOREIGN,         GUARD_NONE,          S(ATTACHED),   ACT_LOOK, FAULT_FOREIGN },
	{ S(ATTACHED),   IN_REJECTED,        GUARD_LET_GO,        S(ATTACHED),   ACT_LOOK, FAULT_REJECTED },
	{ S(ATTACHED),   IN_LOOKED,          GUARD_REBIND,        S(ATTACHED),   ACT_RETRY, FAULT_NONE },
	{ S(ATTACHED),   IN_LOOKED,          GUARD_HOLD,          S(HELD),       0, FAULT_NONE },
	{ S(ATTACHED),   IN_LOOKED,          GUARD_NONE,          S(DETACHING),  ACT_DETACH, FAULT_NONE },
	{ S(ATTACHED),   IN_RETRY,           GUARD_RETRY,         S(ATTACHED),   ACT_BEGIN, FAULT_NONE },
	{ S(ATTACHED),   IN_RETRY,           GUARD_NONE,          S(ATTACHED),   ACT_LOOK, FAULT_NONE },
	{ S(ATTACHED),   IN_GONE,            GUARD_ENDED,         S(RELEASED),   ACT_DISOWN, FAULT_NONE },
	{ S(ATTACHED),   IN_GONE,            GUARD_NONE,          S(FAILED),     ACT_DISOWN, FAULT_NONE },

	{ S(CONNECTING), IN_DSM_READY,       GUARD_READY,         S(BINDING),    ACT_BIND, FAULT_NONE },
	{ S(CONNECTING), IN_DSM_READY,       GUARD_NONE,          S(WAITING),    ACT_TIMER, FAULT_NONE },
	{ S(CONNECTING), IN_DSM_REFUSED,     GUARD_NONE,          S(ATTACHED),   ACT_LOOK, FAULT_CONNECT },
	{ S(CONNECTING), IN_GONE,            GUARD_NONE,          S(RELEASED),   ACT_DISOWN, FAULT_NONE },

	{ S(WAITING),    IN_GUEST_READY,     GUARD_NONE,          S(BINDING),    ACT_TIMER_OFF | ACT_BIND, FAULT_NONE },
	{ S(WAITING),    IN_DSM_LOST,        GUARD_NONE,          S(CONNECTING), ACT_TIMER_OFF, FAULT_NONE },
	{ S(WAITING),    IN_TIMEOUT,         GUARD_NONE,          S(ATTACHED),   ACT_LOOK, FAULT_NOT_READY },
	{ S(WAITING),    IN_GONE,            GUARD_NONE,          S(RELEASED),   ACT_TIMER_OFF | ACT_DISOWN, FAULT_NONE },

	{ S(BINDING),    IN_BIND_LOCKED,     GUARD_LEFT,          S(UNBINDING),  ACT_UNBIND, FAULT_NONE },
	{ S(BINDING),    IN_BIND_LOCKED,     GUARD_NONE,          S(LOCKED),     ACT_TELL_LOCKED | ACT_TIMER, FAULT_NONE },
	{ S(BINDING),    IN_BIND_BOUND,      GUARD_LEFT,          S(UNBINDING),  ACT_UNBIND, FAULT_NONE },
	{ S(BINDING),    IN_BIND_BOUND,      GUARD_NONE,          S(BOUND),      ACT_TELL_LOCKED | ACT_TIMER, FAULT_NONE },
	{ S(BINDING),    IN_BIND_ERROR,      GUARD_LEFT,          S(UNBINDING),  ACT_UNBIND, FAULT_NONE },
	{ S(BINDING),    IN_BIND_ERROR,      GUARD_NONE,          S(UNBINDING),  ACT_UNBIND, FAULT_ERROR },
	{ S(BINDING),    IN_BIND_REFUSED,    GUARD_BACK,          S(ATTACHED),   ACT_BEGIN, FAULT_NONE },
	{ S(BINDING),    IN_BIND_REFUSED,    GUARD_PRESENT,       S(ATTACHED),   ACT_LOOK, FAULT_BIND },
	{ S(BINDING),    IN_BIND_REFUSED,    GUARD_LEFT,          S(RELEASED),   ACT_DISOWN, FAULT_NONE },
	{ S(BINDING),    IN_BIND_UNKNOWN,    GUARD_NONE,          S(QUARANTINED), ACT_QUARANTINE, FAULT_BIND },

	{ S(BOUND),      IN_LOCK_ASKED,      GUARD_ASKS,          S(BOUND),      ACT_LOCK, FAULT_NONE },
	{ S(BOUND),      IN_REQUEST_CARRIED, GUARD_NONE,          S(BOUND),      ACT_CARRIED, FAULT_NONE },
	{ S(BOUND),      IN_REQUEST_UNKNOWN, GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_REQUEST },
	{ S(BOUND),      IN_LOCKED,          GUARD_NONE,          S(LOCKED),     0, FAULT_NONE },
	{ S(BOUND),      IN_RUN,             GUARD_NONE,          S(RUNNING),    ACT_TIMER_OFF, FAULT_NONE },
	{ S(BOUND),      IN_RUN_UNACCOUNTED, GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_UNACCOUNTED },
	{ S(BOUND),      IN_VOIDED,          GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_VOIDED },
	{ S(BOUND),      IN_ERROR,           GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_ERROR },
	{ S(BOUND),      IN_DSM_LOST,        GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_ERROR },
	{ S(BOUND),      IN_REJECTED,        GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_REJECTED },
	{ S(BOUND),      IN_TIMEOUT,         GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_NO_VERDICT },
	{ S(BOUND),      IN_GONE,            GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_NONE },

	{ S(LOCKED),     IN_START_ASKED,     GUARD_ASKS,          S(LOCKED),     ACT_START, FAULT_NONE },
	{ S(LOCKED),     IN_REQUEST_CARRIED, GUARD_NONE,          S(LOCKED),     ACT_CARRIED, FAULT_NONE },
	{ S(LOCKED),     IN_REQUEST_UNKNOWN, GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_REQUEST },
	{ S(LOCKED),     IN_RUN,             GUARD_NONE,          S(RUNNING),    ACT_TIMER_OFF, FAULT_NONE },
	{ S(LOCKED),     IN_RUN_UNACCOUNTED, GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_UNACCOUNTED },
	{ S(LOCKED),     IN_VOIDED,          GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_VOIDED },
	{ S(LOCKED),     IN_ERROR,           GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_ERROR },
	{ S(LOCKED),     IN_DSM_LOST,        GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_ERROR },
	{ S(LOCKED),     IN_UNLOCKED,        GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_UNLOCKED },
	{ S(LOCKED),     IN_REJECTED,        GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_REJECTED },
	{ S(LOCKED),     IN_TIMEOUT,         GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_NO_VERDICT },
	{ S(LOCKED),     IN_GONE,            GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_NONE },

	{ S(RUNNING),    IN_LOCKED,          GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_UNLOCKED },
	{ S(RUNNING),    IN_RUN_UNACCOUNTED, GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_UNACCOUNTED },
	{ S(RUNNING),    IN_VOIDED,          GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_VOIDED },
	{ S(RUNNING),    IN_ERROR,           GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_ERROR },
	{ S(RUNNING),    IN_DSM_LOST,        GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_ERROR },
	{ S(RUNNING),    IN_UNLOCKED,        GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_UNLOCKED },
	{ S(RUNNING),    IN_REJECTED,        GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_REJECTED },
	{ S(RUNNING),    IN_GONE,            GUARD_NONE,          S(UNBINDING),  END_OF_BIND, FAULT_NONE },

	{ S(UNBINDING),  IN_UNBIND_CLEAN,    GUARD_PRESENT_FAULT, S(ATTACHED),   ACT_LOOK, FAULT_NONE },
	{ S(UNBINDING),  IN_UNBIND_CLEAN,    GUARD_PRESENT,       S(ATTACHED),   ACT_BEGIN, FAULT_NONE },
	{ S(UNBINDING),  IN_UNBIND_CLEAN,    GUARD_ENDED,         S(RELEASED),   ACT_DISOWN, FAULT_NONE },
	{ S(UNBINDING),  IN_UNBIND_CLEAN,    GUARD_FAULT,         S(FAILED),     ACT_DISOWN, FAULT_NONE },
	{ S(UNBINDING),  IN_UNBIND_CLEAN,    GUARD_NONE,          S(RELEASED),   ACT_DISOWN, FAULT_NONE },
	{ S(UNBINDING),  IN_UNBIND_UNKNOWN,  GUARD_NONE,          S(QUARANTINED), ACT_QUARANTINE, FAULT_UNBIND },

	{ S(UNBINDING),  IN_REJECTED,        GUARD_LET_GO,        S(UNBINDING),  0, FAULT_REJECTED },

	{ S(DETACHING),  IN_REJECTED,        GUARD_LET_GO,        S(DETACHING),  0, FAULT_REJECTED },
	{ S(DETACHING),  IN_GONE,            GUARD_LET_GO,        S(RELEASED),   ACT_DISOWN, FAULT_NONE },
	{ S(DETACHING),  IN_GONE,            GUARD_NONE,          S(FAILED),     ACT_DISOWN, FAULT_NONE },
	{ S(DETACHING),  IN_DETACH_FAILED,   GUARD_NONE,          S(HELD),       0, FAULT_NONE },
	{ S(HELD),       IN_REJECTED,        GUARD_LET_GO,        S(ATTACHED),   ACT_LOOK, FAULT_REJECTED },
	{ S(HELD),       IN_GONE,            GUARD_LET_GO,        S(RELEASED),   ACT_DISOWN, FAULT_NONE },
	{ S(HELD),       IN_GONE,            GUARD_NONE,          S(FAILED),     ACT_DISOWN, FAULT_NONE },

	{ S(QUARANTINED), IN_CLEARED,        GUARD_PRESENT,       S(ATTACHED),   ACT_LOOK, FAULT_UNBIND },
	{ S(QUARANTINED), IN_CLEARED,        GUARD_NONE,          S(FAILED),     ACT_DISOWN, FAULT_UNBIND },
	{ S(QUARANTINED), IN_NOT_CLEARED,    GUARD_NONE,          S(QUARANTINED), ACT_QUARANTINE, FAULT_UNBIND },
	/* clang-format on */
};

const size_t engine_n_transitions = sizeof(engine_transitions) / sizeof(engine_transitions[0]);

/*
 * How a DSM moves:
 *
 *   idle -> connecting -> connected -> reclaiming -> idle; an unknown outcome -> quarantined
 *
 * It connects when the first assignment needs it, or by request. A request pins it: it then stays
 * connected without users, until another request takes that back, or the session is lost (whoever
 * took it away by hand is not fought), or there is none to keep because the connect failed.
 * Quarantine is left through a reclaim by request only, and only if that is confirmed.
 */
#define D(x) DSM_##x

const DsmTransition dsm_transitions[] = {
	/* clang-format off */
	{ D(IDLE),        DSM_IN_NEEDED,            DSM_GUARD_NONE,     D(CONNECTING),  DSM_ACT_CONNECT, IN_N },
	{ D(IDLE),        DSM_IN_CONNECT_REQUESTED, DSM_GUARD_NONE,     D(CONNECTING),  DSM_ACT_PIN | DSM_ACT_CONNECT, IN_N },

	{ D(CONNECTING),  DSM_IN_CONNECT_REQUESTED, DSM_GUARD_NONE,     D(CONNECTING),  DSM_ACT_PIN, IN_N },
	{ D(CONNECTING),  DSM_IN_RECLAIM_REQUESTED, DSM_GUARD_NONE,     D(CONNECTING),  DSM_ACT_UNPIN, IN_N },
	{ D(CONNECTING),  DSM_IN_CONNECT_DONE,      DSM_GUARD_NONE,     D(CONNECTED),   0, IN_DSM_READY },
	{ D(CONNECTING),  DSM_IN_CONNECT_REFUSED,   DSM_GUARD_NONE,     D(IDLE),        DSM_ACT_UNPIN, IN_DSM_REFUSED },
	{ D(CONNECTING),  DSM_IN_CONNECT_UNKNOWN,   DSM_GUARD_NONE,     D(QUARANTINED), DSM_ACT_UNPIN, IN_DSM_REFUSED },

	{ D(CONNECTED),   DSM_IN_CONNECT_REQUESTED, DSM_GUARD_NONE,     D(CONNECTED),   DSM_ACT_PIN, IN_N },
	{ D(CONNECTED),   DSM_IN_RECLAIM_REQUESTED, DSM_GUARD_UNUSED,   D(RECLAIMING),  DSM_ACT_UNPIN | DSM_ACT_RECLAIM, IN_N },
	{ D(CONNECTED),   DSM_IN_RECLAIM_REQUESTED, DSM_GUARD_NONE,     D(CONNECTED),   DSM_ACT_UNPIN, IN_N },
	{ D(CONNECTED),   DSM_IN_IDLE_TIMEOUT,      DSM_GUARD_FREE,     D(RECLAIMING),  DSM_ACT_RECLAIM, IN_N },
	{ D(CONNECTED),   DSM_IN_LOST,              DSM_GUARD_WAITED,   D(CONNECTING),  DSM_ACT_UNPIN | DSM_ACT_CONNECT, IN_DSM_LOST },
	{ D(CONNECTED),   DSM_IN_LOST,              DSM_GUARD_NONE,     D(IDLE),        DSM_ACT_UNPIN, IN_DSM_LOST },

	{ D(RECLAIMING),  DSM_IN_CONNECT_REQUESTED, DSM_GUARD_NONE,     D(RECLAIMING),  DSM_ACT_PIN, IN_N },
	{ D(RECLAIMING),  DSM_IN_RECLAIM_REQUESTED, DSM_GUARD_NONE,     D(RECLAIMING),  DSM_ACT_UNPIN, IN_N },
	{ D(RECLAIMING),  DSM_IN_RECLAIM_DONE,      DSM_GUARD_WANTED,   D(CONNECTING),  DSM_ACT_CONNECT, IN_N },
	{ D(RECLAIMING),  DSM_IN_RECLAIM_DONE,      DSM_GUARD_NONE,     D(IDLE),        0, IN_N },
	{ D(RECLAIMING),  DSM_IN_RECLAIM_REFUSED,   DSM_GUARD_DOUBTFUL, D(QUARANTINED), DSM_ACT_UNPIN, IN_DSM_REFUSED },
	{ D(RECLAIMING),  DSM_IN_RECLAIM_REFUSED,   DSM_GUARD_NONE,     D(CONNECTED),   0, IN_DSM_READY },
	{ D(RECLAIMING),  DSM_IN_RECLAIM_UNKNOWN,   DSM_GUARD_NONE,     D(QUARANTINED), DSM_ACT_UNPIN, IN_DSM_REFUSED },

	{ D(QUARANTINED), DSM_IN_RECLAIM_REQUESTED, DSM_GUARD_UNUSED,   D(RECLAIMING),  DSM_ACT_DOUBT | DSM_ACT_RECLAIM, IN_N },
	/* clang-format on */
};

const size_t dsm_n_transitions = sizeof(dsm_transitions) / sizeof(dsm_transitions[0]);

/*
 * How the quarantine of a TDI ends: by request only, through a tdi_unbind that the TSM and the
 * device confirm. That needs no assignment: a TVM may have ended meanwhile, and its records be
 * gone. Where the records of a bind were lost the TSM may hold what no assignment has bound; the
 * same request ends that.
 */
#define T(x) TDI_##x

const TdiTransition tdi_transitions[] = {
	/* clang-format off */
	{ T(KNOWN),       TDI_IN_CLEAR_REQUESTED, TDI_GUARD_IDLE, T(CLEARING),    TDI_ACT_CLEAR, IN_N },
	{ T(QUARANTINED), TDI_IN_CLEAR_REQUESTED, TDI_GUARD_IDLE, T(CLEARING),    TDI_ACT_CLEAR, IN_N },
	{ T(CLEARING),    TDI_IN_CLEARED,         TDI_GUARD_NONE, T(KNOWN),       0, IN_CLEARED },
	{ T(CLEARING),    TDI_IN_NOT_CLEARED,     TDI_GUARD_NONE, T(QUARANTINED), 0, IN_NOT_CLEARED },
	/* clang-format on */
};

const size_t tdi_n_transitions = sizeof(tdi_transitions) / sizeof(tdi_transitions[0]);

const char *engine_input_name(EngineInput input)
{
	static const char *const names[IN_N] = {
		[IN_DSM_NEEDED] = "DSM needed",
		[IN_DSM_READY] = "DSM ready",
		[IN_DSM_REFUSED] = "DSM refused",
		[IN_DSM_LOST] = "DSM lost",
		[IN_FOREIGN] = "TDI is another's",
		[IN_GUEST_READY] = "guest ready",
		[IN_BIND_LOCKED] = "bound and locked",
		[IN_BIND_BOUND] = "bound",
		[IN_BIND_ERROR] = "bound, and in ERROR",
		[IN_BIND_REFUSED] = "bind refused",
		[IN_BIND_UNKNOWN] = "bind outcome unknown",
		[IN_LOCKED] = "CONFIG_LOCKED",
		[IN_RUN] = "RUN",
		[IN_RUN_UNACCOUNTED] = "RUN without acceptance",
		[IN_ERROR] = "ERROR",
		[IN_UNLOCKED] = "CONFIG_UNLOCKED",
		[IN_VOIDED] = "bind voided",
		[IN_REJECTED] = "rejected",
		[IN_TIMEOUT] = "timeout",
		[IN_LOOKED] = "looked",
		[IN_RETRY] = "retry",
		[IN_GONE] = "gone",
		[IN_UNBIND_CLEAN] = "unbound",
		[IN_UNBIND_UNKNOWN] = "unbind outcome unknown",
		[IN_DETACH_FAILED] = "detach failed",
		[IN_CLEARED] = "quarantine ended",
		[IN_NOT_CLEARED] = "quarantine not ended",
		[IN_LOCK_ASKED] = "LOCK asked for",
		[IN_START_ASKED] = "START asked for",
		[IN_REQUEST_CARRIED] = "request carried",
		[IN_REQUEST_UNKNOWN] = "request's outcome unknown",
	};

	return input < IN_N ? names[input] : "?";
}

const char *dsm_input_name(DsmInput input)
{
	static const char *const names[DSM_IN_N] = {
		[DSM_IN_NEEDED] = "needed",
		[DSM_IN_CONNECT_REQUESTED] = "connect requested",
		[DSM_IN_RECLAIM_REQUESTED] = "reclaim requested",
		[DSM_IN_CONNECT_DONE] = "connected",
		[DSM_IN_CONNECT_REFUSED] = "connect refused",
		[DSM_IN_CONNECT_UNKNOWN] = "connect outcome unknown",
		[DSM_IN_RECLAIM_DONE] = "reclaimed",
		[DSM_IN_RECLAIM_REFUSED] = "reclaim refused",
		[DSM_IN_RECLAIM_UNKNOWN] = "reclaim outcome unknown",
		[DSM_IN_LOST] = "session lost",
		[DSM_IN_IDLE_TIMEOUT] = "idle timeout",
	};

	return input < DSM_IN_N ? names[input] : "?";
}

const char *tdi_input_name(TdiInput input)
{
	static const char *const names[TDI_IN_N] = {
		[TDI_IN_CLEAR_REQUESTED] = "clear requested",
		[TDI_IN_CLEARED] = "cleared",
		[TDI_IN_NOT_CLEARED] = "not cleared",
	};

	return input < TDI_IN_N ? names[input] : "?";
}
