# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TVM's owner whose own verifier has the last word."""
from lab import Lab, lab, tvm

NIC1 = "ua-tdi-nic1"
PROGRAM = "/usr/libexec/relying-party"
# Another answer each time. What it says on standard error is in the agent's log: on the console.
SCRIPT = r"""#!/bin/sh
evidence=$(cat)
echo asked >>/run/asked
times=$(wc -l </run/asked)
echo "asked $times times, ${#evidence} bytes, for $1" >&2
case $times in
1) echo '{"verdict": "accept"}' ;;
2) echo '{"verdict": "reject", "reason": "not this time"}' ;;
*) exec sleep 1000 ;;
esac
"""


def test_relying_party_has_the_last_word():
    """The policy's command accepts: RUN; refuses, or hangs: never RUN, detached, and the reason told."""
    with lab() as host:
        l = Lab(host)
        l.tvm1.destroy()
        owner = tvm(host, "tvm2", files={PROGRAM: SCRIPT},
                    relying_party={"command": [PROGRAM, "a b"], "timeout_ms": 2000}).start()
        watch = l.watch()
        owner.attach(1)
        watch.wait(NIC1, "running")
        owner.wait_console(r"relying party: asked 1 times, \d{4,} bytes, for a b", 30)
        # The TSM says RUN before the agent says what it has validated.
        l.wait_driver(f"tvm2/{NIC1}")
        marks = [mark["name"] for mark in l.show(f"tvm2/{NIC1}")["timeline"]]
        assert (marks.index("guest: checked") < marks.index("guest: relying-party") <
                marks.index("guest: validated")), marks
        owner.detach(1)
        watch.wait(NIC1, "released")

        for times, words in ((2, "refuses the device: not this time"),
                             (3, "had not answered after 2000 ms")):
            before = watch.states(NIC1).count("running")
            owner.attach(1)
            failed = watch.wait(NIC1, "failed")
            assert words in failed["reason"], failed
            assert watch.states(NIC1).count("running") == before == 1, watch.states(NIC1)
            owner.wait_console(rf"relying party: asked {times} times", 30)

        # Without a policy that asks, the same device runs in another TVM.
        l.tvm0.attach(1)
        running = watch.wait(NIC1, "running")
        assert running["domain_name"] == "tvm0", running
