# SPDX-License-Identifier: LGPL-2.1-or-later
"""tdi-quoted between TVMs that ask and quoting services that do not always answer."""
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import re
import resource
import socket
import struct
import subprocess
import tempfile
import time

import qgs
import tdreport
from qe import qe
from relay import Refused, qemu, relay, uuid

UNEXPECTED, INVALID_VERSION, INVALID_TYPE, INVALID_SIZE = 0x12001, 0x12004, 0x12005, 0x12006
MRTD, REPORT_DATA = bytes(range(48)), bytes(range(64))
PLATFORM_INFO = qgs.message(5, bytes(4), (b"a test's own", bytes(16)))


def report_of(upstream, data=REPORT_DATA):
    return tdreport.make(upstream.key, data, MRTD, tuple(bytes(48) for _ in range(4)))


def error_of(answer):
    """Of a framed answer that is an error and nothing else."""
    frame, = struct.unpack_from(">I", answer)
    major, minor, kind, size, error = struct.unpack_from("<HHIII", answer, 4)
    assert frame == size == len(answer) - 4 and (major, minor) == (1, 1), answer
    assert kind % 2 == 1 and error and not any(answer[20:]), answer
    return error


def is_quote(answer):
    return isinstance(answer, bytes) and struct.unpack_from("<H", answer)[0] == 4


def timed(function, *arguments):
    begin = time.monotonic()
    return function(*arguments), time.monotonic() - begin


def test_tvm_asks_by_its_socket_and_agent_by_tcp():
    """A quote by the domain's own socket, framed and bare, and by TCP; counted for each."""
    with qe() as up, relay([f"unix:{up.socket}"]) as it:
        path, report = it.tvm(1), report_of(up)
        assert is_quote(qgs.quote(path, report))
        assert is_quote(qgs.ask(path, report))
        assert is_quote(qgs.quote(it.tcp, report))
        # What is not a quote comes through, too.
        info = qgs.parse(qgs.ask(path, qgs.request(qgs.GET_PLATFORM_INFO)), fixed=4)
        assert (info.type, info.error) == (5, 0), info
        tvm, agent = it.asker("tvm1"), it.asker("127.0.0.1")
        assert (tvm["counts"]["ok"], tvm["other"]) == (2, 1), tvm
        assert (agent["counts"]["ok"], agent["other"]) == (1, 0), agent
        assert sum(each["requests"] for each in tvm["latency"]) == 2, tvm
        assert it.upstream(0)["state"] == "closed"
        lines = [line for line in it.said().splitlines() if f"quote: tvm1 {uuid(1)} ok" in line]
        digest = hashlib.sha384(REPORT_DATA).hexdigest()
        assert len(lines) == 3, it.said()
        assert all(f" mrtd={MRTD.hex()} report-data=sha384:{digest} " in line
                   for line in lines[:2]), lines
        text = it.call("Metrics")["text"]
        assert f'tdid_quote_requests_total{{domain="{uuid(1)}",outcome="ok"}} 2\n' in text, text
        assert f'tdid_quote_other_requests_total{{domain="{uuid(1)}"}} 1\n' in text, text


def test_metrics_have_the_latency_of_each_domain():
    """tdid_quote_seconds: buckets that add up, a count and a sum, for a domain and for all others."""
    with qe() as up, relay([f"unix:{up.socket}"]) as it:
        path, report = it.tvm(1), report_of(up)
        begin = time.monotonic()
        up.call("Delay", milliseconds=60)
        for address in (path, path, it.tcp):
            assert is_quote(qgs.quote(address, report))
        elapsed = time.monotonic() - begin
        text = it.call("Metrics")["text"]
        assert "# TYPE tdid_quote_seconds histogram\n" in text and text.endswith("# EOF\n"), text
        for domain, count in ((uuid(1), 2), ("", 1)):
            buckets = re.findall(fr'^tdid_quote_seconds_bucket{{domain="{domain}",le="(.*)"}} (\d+)$',
                                 text, re.M)
            counts = {float(bound): int(n) for bound, n in buckets}
            assert list(counts) == sorted(counts) and len(counts) == len(buckets) > 10, text
            assert list(counts.values()) == sorted(counts.values()), text
            # Each took 60 ms, and none more than all together.
            assert counts[0.05] == 0 and counts[float("inf")] == count, text
            assert all(n == count for bound, n in counts.items() if bound >= elapsed), text
            assert f'tdid_quote_seconds_count{{domain="{domain}"}} {count}\n' in text, text
            seconds, = re.findall(fr'^tdid_quote_seconds_sum{{domain="{domain}"}} (.*)$', text, re.M)
            assert 0.06 * count <= float(seconds) <= elapsed, (seconds, elapsed)


def test_tdictl_quotes_shows_who_asks_and_who_answers():
    """Two tables for people: the services with their state, and a row for each that has asked."""
    with qe() as up, relay([f"unix:{up.socket}", f"unix:{up.folder}/nobody"]) as it:
        # The one that is not there is known to be away by then, and the other to be there.
        it.wait(lambda: it.upstream(0)["checks"] and it.upstream(1)["failed"])
        assert it.tdictl("quotes").splitlines()[0].split() == [
            "UPSTREAM", "STATE", "IN", "FLIGHT", "ANSWERED", "FAILED", "MEDIAN", "P99", "TROUBLE"]
        path, report = it.tvm(1), report_of(up)
        assert is_quote(qgs.quote(path, report)) and is_quote(qgs.quote(it.tcp, report))
        assert qgs.ask(path, b"\xff" * 4)
        upstreams, askers = ([re.split(r" {2,}", line.strip()) for line in table.splitlines()]
                             for table in it.tdictl("quotes").split("\n\n"))
        assert upstreams[1][:5] == [f"unix:{up.socket}", "closed", "0", "2", "0"], upstreams
        assert upstreams[2][0] == f"unix:{up.folder}/nobody" and upstreams[2][1] == "open", upstreams
        assert upstreams[2][-1] == "No such file or directory", upstreams
        assert askers[0] == ["WHO", "OK", "ERROR", "UNAVAILABLE", "LATE", "LIMITED", "HELD", "BAD",
                             "GONE", "IN FLIGHT", "MEDIAN", "P99"], askers
        rows = {row[0]: row[1:] for row in askers[1:]}
        assert rows["tvm1"][:9] == ["1", "0", "0", "0", "0", "0", "1", "0", "0"], askers
        assert rows["127.0.0.1"][:9] == ["1", "0", "0", "0", "0", "0", "0", "0", "0"], askers
        assert all(cell.startswith("<= ") for row in rows.values() for cell in row[9:]), askers
        # About one of them: its row, and its requests by how long they took.
        for who in ("tvm1", uuid(1)):
            row, latency = ([re.split(r" {2,}", line.strip()) for line in table.splitlines()]
                            for table in it.tdictl("quotes", who).split("\n\n"))
            assert row == [askers[0], next(each for each in askers if each[0] == "tvm1")], row
            assert latency[0] == ["LATENCY", "REQUESTS"], latency
            assert sum(int(n) for _, n in latency[1:]) == 2, latency
            assert all(bound.startswith("<= ") for bound, _ in latency[1:]), latency
        only, = json.loads(it.tdictl("quotes", "tvm1", "--json"))
        assert sum(each["requests"] for each in only["latency"]) == 2, only
        try:
            it.tdictl("quotes", "tvm2")
            raise AssertionError("tvm2 has not asked")
        except subprocess.CalledProcessError as error:
            assert error.returncode == 1


def test_service_is_asked_over_tcp():
    """An upstream at a TCP address: asked, left out while it is away, and back."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with qe(tcp_port=port) as up, relay([f"tcp:127.0.0.1:{port}"], deadline_ms=2000,
                                        attempt_ms=2000) as it:
        path, report = it.tvm(1), report_of(up)
        assert is_quote(qgs.quote(path, report)) and is_quote(qgs.quote(it.tcp, report))
        up.stop()
        answer, seconds = timed(qgs.quote, path, report)
        assert answer == UNEXPECTED and seconds < 4, (answer, seconds)
        assert it.upstream(0)["trouble"] == "Connection refused", it.upstream(0)
        up.start()
        it.wait(lambda: it.upstream(0)["state"] == "closed")
        assert "trouble" not in it.upstream(0), it.upstream(0)
        assert is_quote(qgs.quote(path, report))


def test_refusal_of_the_service_is_handed_on():
    """An altered MRTD: the service's own error; the bare report's answer is the connection's end."""
    with qe() as up, qe() as other, relay([f"unix:{up.socket}", f"unix:{other.socket}"]) as it:
        report = bytearray(report_of(up))
        report[512 + 16] ^= 1
        assert qgs.quote(it.tvm(1), bytes(report)) == qgs.INVALID_PARAMETER
        assert qgs.ask(it.socket_of(1), bytes(report)) == b""
        assert it.asker("tvm1")["counts"]["error"] == 2
        # It is the request's own fault: nobody else was asked.
        assert it.upstream(1)["answered"] == 0


def test_sizes_of_quotes():
    """Quotes from 1 KiB to 120 KiB pass with every byte as the service has sent it."""
    answers = {qgs.GET_PLATFORM_INFO: PLATFORM_INFO}
    report = b"\x81" + bytes(1023)
    with tempfile.TemporaryDirectory(prefix="tdid-qgs-") as folder, \
            qgs.service(f"{folder}/qgs", answers) as asked, relay([f"unix:{folder}/qgs"]) as it:
        path = it.tvm(1)
        for size in (1024, 4096, 8191, 8192, 65535, 65536, 65537, 120 * 1024):
            quote = os.urandom(size)
            answers[qgs.GET_QUOTE] = qgs.message(1, b"", (b"", quote))
            for address in (path, it.tcp):
                assert qgs.quote(address, report) == quote, size
            assert qgs.ask(path, report) == quote, size
        # And the request, bare or framed, comes to the service as that of any client.
        assert asked.count(qgs.request(qgs.GET_QUOTE, report, b"")) == 8 * 3


def test_collateral_is_relayed_where_the_configuration_says_so():
    """GET_COLLATERAL with "collateral": true: request and answer pass as they are, and are logged."""
    collateral = tuple(os.urandom(100 * n) for n in range(1, 8))
    answers = {qgs.GET_PLATFORM_INFO: PLATFORM_INFO,
               qgs.GET_COLLATERAL: qgs.message(3, struct.pack("<HH", 3, 1), collateral)}
    request = qgs.request(qgs.GET_COLLATERAL, b"fmspc6", b"platform\0")
    with tempfile.TemporaryDirectory(prefix="tdid-qgs-") as folder, \
            qgs.service(f"{folder}/qgs", answers) as asked, \
            relay([f"unix:{folder}/qgs"], collateral=True) as it:
        for address in (it.tvm(1), it.tcp):
            assert qgs.ask(address, request) == answers[qgs.GET_COLLATERAL]
        assert asked.count(request) == 2
        tvm = it.asker("tvm1")
        assert (tvm["counts"]["ok"], tvm["other"]) == (0, 1), tvm
        assert f"quote: tvm1 {uuid(1)} ok (GET_COLLATERAL request) " in it.said(), it.said()


def test_requests_that_are_none():
    """Every one that is wrong gets an error in QGS's format, at once, and the service none of it."""
    report = b"\x81" + bytes(1023)
    good = qgs.request(qgs.GET_QUOTE, report, b"")

    def altered(at, data):
        return good[:at] + data + good[at + len(data):]

    cases = {
        "frame of 0": (bytes(4), INVALID_SIZE),
        "frame of 15": (struct.pack(">I", 15), INVALID_SIZE),
        "frame of 4 GiB": (b"\xff" * 4, INVALID_SIZE),
        "frame in the wrong order": (struct.pack("<I", len(good) - 4), INVALID_SIZE),
        "major version 2": (altered(4, b"\2"), INVALID_VERSION),
        "unknown type": (altered(8, b"\7"), INVALID_TYPE),
        "a response": (struct.pack(">I", 24)
                       + struct.pack("<HHIIIII", 1, 1, 1, 24, UNEXPECTED, 0, 0), INVALID_TYPE),
        "collateral": (qgs.request(qgs.GET_COLLATERAL, b"fmspc6", b"platform\0"), INVALID_TYPE),
        "more than the service reads at once": (
            qgs.request(qgs.GET_QUOTE, report, bytes(16 * 200)), INVALID_SIZE),
        "malformed platform information": (
            qgs.request(qgs.GET_PLATFORM_INFO, b"something"), INVALID_SIZE),
        "size in the header": (altered(12, b"\0"), INVALID_SIZE),
        "report longer than the message": (altered(20, b"\xff\xff\xff\xff"), INVALID_SIZE),
        "report of 1,023 bytes": (qgs.request(qgs.GET_QUOTE, report[:-1], b""),
                                  qgs.INVALID_PARAMETER),
    }
    with qe() as up, relay([f"unix:{up.socket}"], silence_ms=300) as it:
        path = it.tvm(1)
        for name, (data, error) in cases.items():
            for address in (path, it.tcp):
                answer, seconds = timed(qgs.ask, address, data)
                assert error_of(answer) == error, (name, answer)
                assert seconds < 5, (name, seconds)
                # Of the type that belongs to what was asked, as far as that can be told.
                kind, = struct.unpack_from("<I", answer, 8)
                assert kind == (3 if name == "collateral" else
                                5 if name == "malformed platform information" else 1), (name, kind)
        # Half a request: the answer comes when its time is over.
        assert error_of(qgs.ask(path, good[:100])) == INVALID_SIZE
        # Nothing at all, and the end in the middle.
        with qgs.connect(path) as s:
            s.shutdown(socket.SHUT_WR)
            assert qgs.all_of(s) == b""
        assert it.asker("tvm1")["counts"]["bad"] == len(cases) + 1
        assert up.call("GetStatus")["requests"] == it.upstream(0)["checks"]
        # An older client gets an answer in its own version.
        answer = qgs.ask(path, altered(6, b"\0\0"))
        assert struct.unpack_from("<HH", answer, 4) == (1, 0), answer[:24]


def test_request_in_two_pieces_reaches_the_service_in_one():
    """QGS loses a request that comes in two: the relay's goes out in one write."""
    with qe() as up, relay([f"unix:{up.socket}"]) as it:
        up.call("LoseSplitRequests", lose=True)
        data = qgs.request(qgs.GET_QUOTE, report_of(up), b"")
        for cut in (1, 4, 20, 1000):
            with qgs.connect(it.tvm(1)) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
                s.sendall(data[:cut])
                it.wait(lambda: not qgs.unread(s))
                s.sendall(data[cut:])
                assert is_quote(qgs.parse(qgs.all_of(s)).parts[1])


MISHAPS = ("silent", "close", "cut", "short_frame", "long_frame", "huge_frame", "wrong_size",
           "wrong_quote_size", "wrong_id_size", "wrong_type", "refuse")


def test_service_that_lies_and_another_takes_over():
    """Every way in which an answer can be wrong: the next service is asked, the guest gets a quote."""
    with qe() as bad, qe(platform_key=str(bad.key_file)) as good, \
            relay([f"unix:{bad.socket}", f"unix:{good.socket}"], attempt_ms=500) as it:
        path, report = it.tvm(1), report_of(bad)
        for mishap in MISHAPS:
            it.wait(lambda: it.upstream(0)["state"] == "closed")
            bad.call("Fail", mishap=mishap)
            answer, seconds = timed(qgs.quote, path, report)
            assert is_quote(answer), (mishap, answer)
            assert seconds < 3, (mishap, seconds)
            # It is good again, and preferred.
            before = it.upstream(0)["answered"]
            assert is_quote(qgs.quote(path, report))
            assert it.upstream(0)["answered"] == before + 1, mishap
        # These are right after all.
        for mishap in ("split", "old_version"):
            it.wait(lambda: it.upstream(0)["state"] == "closed")
            before = it.upstream(1)["answered"]
            bad.call("Fail", mishap=mishap)
            assert is_quote(qgs.quote(path, report)), mishap
            assert it.upstream(1)["answered"] == before, mishap


def test_service_that_lies_and_is_the_only_one():
    """The guest gets an error in QGS's format, in time; then it works again without a restart."""
    with qe() as up, relay([f"unix:{up.socket}"], attempt_ms=500, deadline_ms=2000,
                           silence_ms=1000) as it:
        path, report = it.tvm(1), report_of(up)
        for mishap in MISHAPS:
            it.wait(lambda: it.upstream(0)["state"] == "closed")
            up.call("Fail", mishap=mishap)
            answer, seconds = timed(qgs.quote, path, report)
            assert answer == UNEXPECTED, (mishap, answer)
            assert seconds < 3, (mishap, seconds)
        it.wait(lambda: it.upstream(0)["state"] == "closed")
        assert is_quote(qgs.quote(path, report))


def test_service_killed_the_other_takes_over_and_it_comes_back():
    """SIGKILL of the first service, with requests under way: the second answers; back without a restart."""
    with qe() as first, qe(platform_key=str(first.key_file)) as second, \
            relay([f"unix:{first.socket}", f"unix:{second.socket}"], check_ms=300) as it:
        path, report = it.tvm(1), report_of(first)
        it.wait(lambda: it.upstream(0)["checks"])
        first.call("Delay", milliseconds=5000)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            under_way = [pool.submit(qgs.quote, path, report) for _ in range(4)]
            it.wait(lambda: it.upstream(0)["in_flight"] == 4)
            first.process.kill()
            first.process.wait()
            assert all(is_quote(each.result()) for each in under_way)
        assert it.upstream(1)["answered"] >= 4
        # While it dies its socket still takes a check, and hangs up: the next one knows.
        it.wait(lambda: it.upstream(0)["state"] == "open")
        answer, seconds = timed(qgs.quote, path, report)
        assert is_quote(answer) and seconds < 1, seconds
        os.unlink(first.socket)
        first.start()
        it.wait(lambda: it.upstream(0)["state"] == "closed")
        before = it.upstream(0)["answered"]
        assert is_quote(qgs.quote(path, report))
        assert it.upstream(0)["answered"] == before + 1


def test_wedged_service_costs_the_guest_an_error_in_time():
    """No accept any more, as QGS without descriptors: an error by the deadline, each time."""
    with qe() as up, relay([f"unix:{up.socket}"], attempt_ms=400, deadline_ms=1000,
                           silence_ms=1000) as it:
        path, report = it.tvm(1), report_of(up)
        up.call("StopAccepting")
        for _ in range(3):
            answer, seconds = timed(qgs.quote, path, report)
            assert answer == UNEXPECTED and seconds < 3, (answer, seconds)
        assert it.upstream(0)["state"] != "closed"
        answer, seconds = timed(qgs.quote, path, report)
        assert answer == UNEXPECTED and seconds < 3, (answer, seconds)
        up.process.kill()
        up.process.wait()
        os.unlink(up.socket)
        up.start()
        it.wait(lambda: it.upstream(0)["state"] == "closed")
        assert is_quote(qgs.quote(path, report))


def test_slow_service_is_waited_for():
    """The only one, slower than attempt_ms: the quote; than the deadline: an error when that is over."""
    with qe() as up, relay([f"unix:{up.socket}"], attempt_ms=200, deadline_ms=1500,
                           silence_ms=1000) as it:
        path, report = it.tvm(1), report_of(up)
        it.wait(lambda: it.upstream(0)["checks"] == 1)
        up.call("Delay", milliseconds=700)
        assert is_quote(qgs.quote(path, report))
        assert (it.upstream(0)["answered"], it.upstream(0)["failed"]) == (1, 1), it.upstream(0)
        up.call("Delay", milliseconds=4000)
        answer, seconds = timed(qgs.quote, path, report)
        assert answer == UNEXPECTED and 1.3 < seconds < 3.5, (answer, seconds)


def test_slow_service_that_hangs_up_has_failed_once():
    """Past attempt_ms, and then the connection's end: one failure of the service, not two."""
    with qe() as up, relay([f"unix:{up.socket}"], attempt_ms=300) as it:
        path, report = it.tvm(1), report_of(up)
        it.wait(lambda: it.upstream(0)["checks"] == 1 and up.call("GetStatus")["connections"] == 0)
        up.call("Delay", milliseconds=10000)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(qgs.quote, path, report)
            it.wait(lambda: it.upstream(0)["failed"])
            up.process.kill()
            up.process.wait()
            assert waiting.result() == UNEXPECTED
        assert it.upstream(0)["failed"] == 1, it.upstream(0)
        os.unlink(up.socket)
        up.start()


def test_slow_service_is_waited_for_until_another_is_there():
    """Past attempt_ms, as long as the other is away; once that is back it is asked instead."""
    with qe() as slow, qe(platform_key=str(slow.key_file)) as other, \
            relay([f"unix:{slow.socket}", f"unix:{other.socket}"], attempt_ms=300) as it:
        path, report = it.tvm(1), report_of(slow)
        for n, service in enumerate((slow, other)):
            it.wait(lambda: it.upstream(n)["checks"] == 1
                    and service.call("GetStatus")["connections"] == 0)
        other.stop()
        slow.call("Fail", mishap="close")
        # It fails at one, and is refused by the other, of which that is known then.
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            waiting = pool.submit(qgs.quote, path, report)
            it.wait(lambda: it.upstream(1)["state"] == "open")
            slow.call("Fail", mishap="silent")
            silent = pool.submit(qgs.quote, path, report)
            it.wait(lambda: "there is no other to be asked, so it is waited for" in it.said())
            assert not waiting.done() and not silent.done()
            other.start()
            assert is_quote(waiting.result()) and is_quote(silent.result())
        assert it.upstream(1)["answered"] == 2, it.upstream(1)


def test_every_end_of_a_request_is_in_the_log():
    """One line each, with MRTD and REPORTDATA's digest where a whole report had come."""
    with qe() as up, relay([f"unix:{up.socket}"]) as it, qemu() as own:
        path, report = it.prepare(1), report_of(up)
        it.started(1, own.pid)
        it.wait(lambda: it.upstream(0)["checks"] == 1)
        shown = (f" mrtd={MRTD.hex()} report-data=sha384:"
                 f"{hashlib.sha384(REPORT_DATA).hexdigest()} ")

        def expect(who, outcome, *words):
            it.wait(lambda: it.audited(who, outcome))
            line, = it.audited(who, outcome)
            assert all(word in line for word in words), line
            assert it.asker(who)["counts"][outcome] == 1

        assert is_quote(qgs.parse(own.ask(path, report)).parts[1])
        expect("tvm1", "ok", shown, f" upstream=unix:{up.socket} ")
        altered = bytearray(report)
        altered[0x50] ^= 1
        assert error_of(own.ask(path, bytes(altered)))
        expect("tvm1", "error", shown, ": the quoting service says: ")
        assert error_of(own.ask(path, report[:-1])) == qgs.INVALID_PARAMETER
        expect("tvm1", "bad", ": a report that is not a TDREPORT")
        with qgs.connect(it.tcp) as s:
            s.sendall(qgs.request(qgs.GET_QUOTE, report, b"")[:100])
        expect("127.0.0.1", "bad", ": its sender has hung up inside it")
        up.call("Fail", mishap="close")
        assert error_of(own.ask(path, report)) == UNEXPECTED
        expect("tvm1", "unavailable", shown, ": it hung up without a reply")
        up.call("Delay", milliseconds=10000)
        own.begin(path, report)
        it.wait(lambda: it.upstream(0)["in_flight"] == 1)
        it.call("Release", domain=uuid(1))
        line, = it.audited("tvm1", "gone")
        assert shown in line and line.endswith(": its domain has ended"), line
        own.end()
        # The others may take their time.
        it.stop()
        it.config.write_text(json.dumps({**json.loads(it.config.read_text()),
                                         "attempt_ms": 400, "deadline_ms": 400}))
        it.start()
        it.prepare(1)
        it.started(1, own.pid)
        assert error_of(own.ask(path, report)) == UNEXPECTED
        expect("tvm1", "late", shown, ": no quoting service has answered in time")


def test_stopped_in_order_everybody_gets_an_answer():
    """SIGTERM: who waits for a quote, or is about to ask for one, gets an error in QGS's format."""
    with qe() as up, relay([{"address": f"unix:{up.socket}", "parallel": 8}]) as it:
        path, report = it.tvm(1), report_of(up)
        it.wait(lambda: it.upstream(0)["checks"] == 1)
        up.call("Delay", milliseconds=10000)
        with concurrent.futures.ThreadPoolExecutor(8) as pool, qgs.connect(path) as half, \
                qgs.connect(it.tcp) as more:
            asked = [pool.submit(qgs.quote, address, report) for address in (path, path, it.tcp)]
            bare = pool.submit(qgs.ask, path, report)
            half.sendall(qgs.request(qgs.GET_QUOTE, report, b"")[:100])
            # What comes behind a request is never read: it must not cost the answer.
            more.sendall(qgs.request(qgs.GET_QUOTE, report, b"") + b"more" * 1000)
            it.wait(lambda: it.asker("tvm1")["in_flight"] == 4
                    and it.asker("127.0.0.1")["in_flight"] == 2
                    and it.upstream(0)["in_flight"] == 5)
            it.stop()
            assert [each.result() for each in asked] == [UNEXPECTED] * 3
            assert bare.result() == b""
            assert error_of(qgs.all_of(half)) == error_of(qgs.all_of(more)) == UNEXPECTED
        lines = it.audited("tvm1", "unavailable") + it.audited("127.0.0.1", "unavailable")
        assert len(lines) == 6, lines
        assert all(line.endswith(": tdi-quoted is being stopped") for line in lines), lines
        it.start()


def test_thousand_that_say_nothing():
    """1,000 at a domain's socket and 1,000 of one TCP address say nothing: all others are served.

    400 more of that address are over its limit, and each is told so. All of 127.0.0.0/8 is one
    peer: the other TCP address is ::1, if the host has IPv6.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    with qe() as up, relay([f"unix:{up.socket}"], silence_ms=19000,
                           deadline_ms=3000, attempt_ms=3000, in_flight=1000) as it:
        quiet, other, report = it.tvm(1), it.tvm(2), report_of(up)
        silent = [qgs.connect(it.tcp) for _ in range(1000)]
        limited = [qgs.connect(it.tcp) for _ in range(400)]
        for _ in range(1000):
            silent.append(socket.socket(socket.AF_UNIX))
            silent[-1].connect(other)  # without a timeout: it waits while the queue is full
        it.wait(lambda: it.asker("tvm2")["in_flight"] == 1000)
        assert it.asker("127.0.0.1")["in_flight"] == 1000
        for address in filter(None, (quiet, it.tcp6)):
            answer, seconds = timed(qgs.quote, address, report)
            assert is_quote(answer) and seconds < 3, (address, answer, seconds)
        # Who asks beyond the limit hears so, before and after its request.
        for each in limited:
            assert error_of(qgs.all_of(each)) == UNEXPECTED
            each.close()
        assert qgs.quote(it.tcp, report) == UNEXPECTED
        assert it.asker("127.0.0.1")["counts"]["limited"] == 401
        assert '1000 are open, which is the limit ("in_flight")' in it.said()
        for each in silent:
            each.close()
        it.wait(lambda: it.asker("tvm2")["in_flight"] == it.asker("127.0.0.1")["in_flight"] == 0)
        assert is_quote(qgs.quote(other, report)) and is_quote(qgs.quote(it.tcp, report))


def test_domain_that_floods_gets_its_own_limit():
    """Past its rate a domain's requests wait in its own socket; another's do not wait."""
    with qe() as up, relay([f"unix:{up.socket}"], rate_per_second=20, burst=16) as it:
        flooding, quiet, report = it.tvm(1), it.tvm(2), report_of(up)
        stop = time.monotonic() + 2

        def flood():
            n = 0
            while time.monotonic() < stop:
                assert is_quote(qgs.quote(flooding, report))
                n += 1
            return n

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            counts = [pool.submit(flood) for _ in range(8)]
            it.wait(lambda: it.asker("tvm1")["counts"]["ok"] >= 16)
            for _ in range(5):
                answer, seconds = timed(qgs.quote, quiet, report)
                assert is_quote(answer) and seconds < 1, seconds
            served = sum(each.result() for each in counts)
        # 16 at once, 20 a second for 2 s, and those that were begun.
        assert 30 <= served <= 16 + 20 * 3 + 8, served
        assert "tvm1: its quote requests wait: more than 20 a second" in it.said()
        held = it.asker("tvm1")["held"]
        assert held > 0 and it.asker("tvm2")["held"] == 0, held
        text = it.call("Metrics")["text"]
        assert f'tdid_quote_held_total{{domain="{uuid(1)}"}} {held}\n' in text, text


def test_guest_that_makes_a_service_fail_costs_nobody_else_anything():
    """Requests that end badly at every service, over and over: another TVM's are answered meanwhile."""
    with qe() as first, qe(platform_key=str(first.key_file)) as second, \
            relay([f"unix:{first.socket}", f"unix:{second.socket}"], attempt_ms=300) as it:
        hostile, innocent, report = it.tvm(1), it.tvm(2), report_of(first)
        for _ in range(6):
            for service in (first, second):
                service.call("Fail", mishap="close")
            answer, seconds = timed(qgs.quote, hostile, report)
            assert answer == UNEXPECTED, answer
            answer, seconds = timed(qgs.quote, innocent, report)
            assert is_quote(answer) and seconds < 2, (answer, seconds)
        it.wait(lambda: it.upstream(0)["state"] == it.upstream(1)["state"] == "closed")


def test_guest_that_makes_the_only_service_fail_costs_others_a_check():
    """Three bad ends in a row, and it is being checked: another TVM's request waits, and gets a quote."""
    with qe() as up, relay([f"unix:{up.socket}"]) as it:
        hostile, innocent, report = it.tvm(1), it.tvm(2), report_of(up)
        it.wait(lambda: it.upstream(0)["checks"] == 1)
        # The check takes long enough for others to come meanwhile.
        up.call("Delay", milliseconds=1500)
        for _ in range(2):
            up.call("Fail", mishap="close", times=3)
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                bad = [pool.submit(qgs.quote, hostile, report) for _ in range(3)]
                it.wait(lambda: it.upstream(0)["state"] == "probing")
                good = [pool.submit(qgs.quote, innocent, report) for _ in range(5)]
                assert [each.result() for each in bad] == [UNEXPECTED] * 3
                assert all(is_quote(each.result()) for each in good)
        counts = it.asker("tvm2")["counts"]
        assert counts["ok"] == 10 and counts["unavailable"] == 0, counts


def test_service_that_is_restarted_costs_nobody_a_quote():
    """Refused connections: who has asked meanwhile waits, and gets its quote when it is back."""
    with qe() as up, relay([f"unix:{up.socket}"]) as it:
        a, b, report = it.tvm(1), it.tvm(2), report_of(up)
        it.wait(lambda: it.upstream(0)["checks"] == 1)
        up.stop()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(qgs.quote, path, report) for path in (a, b, b, it.tcp)]
            it.wait(lambda: it.upstream(0)["state"] == "open")
            it.wait(lambda: sum(each["in_flight"] for each in it.call("List")["askers"]) == 4)
            up.start()
            assert all(is_quote(each.result()) for each in asked)
        assert it.upstream(0)["state"] == "closed"


def test_service_that_takes_no_connection_costs_nobody_a_quote():
    """Its socket's queue is full, so it was not asked: who has asked waits, and gets a quote later."""
    quote = os.urandom(2048)
    answers = {qgs.GET_PLATFORM_INFO: PLATFORM_INFO, qgs.GET_QUOTE: qgs.message(1, b"", (b"", quote))}
    report = b"\x81" + bytes(1023)
    with tempfile.TemporaryDirectory(prefix="tdid-qgs-") as folder, contextlib.ExitStack() as stack:
        address = f"{folder}/qgs"
        with qgs.service(address, answers):
            it = stack.enter_context(relay([f"unix:{address}"]))
            path = it.tvm(1)
            assert qgs.quote(path, report) == quote
        os.unlink(address)
        with socket.socket(socket.AF_UNIX) as full:
            full.bind(address)
            full.listen(0)
            try:
                while True:
                    waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                    waiting.setblocking(False)
                    waiting.connect(address)
            except BlockingIOError:
                pass
            pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1))
            asked = pool.submit(qgs.quote, path, report)
            it.wait(lambda: it.upstream(0)["failed"])
        os.unlink(address)
        with qgs.service(address, answers):
            assert asked.result() == quote


def test_service_that_answers_checks_only_is_asked_last():
    """GET_PLATFORM_INFO works, quotes hang: after three in a row the other is asked first."""
    with qe() as half, qe(platform_key=str(half.key_file)) as good, \
            relay([f"unix:{half.socket}", f"unix:{good.socket}"], attempt_ms=1000) as it:
        path, report = it.tvm(1), report_of(half)
        for _ in range(3):
            half.call("Fail", mishap="silent")
            assert is_quote(qgs.quote(path, report))
        it.wait(lambda: it.upstream(0)["state"] == "closed")
        failed = it.upstream(0)["failed"]
        for _ in range(3):
            assert is_quote(qgs.quote(path, report))
        assert it.upstream(0)["failed"] == failed, it.upstream(0)
        assert it.upstream(0)["answered"] == 0 and it.upstream(1)["answered"] == 6


def test_requests_that_wait_for_different_services():
    """One waits for a full service, others may go to one with room: they do, all of them."""
    with qe() as slow, qe(platform_key=str(slow.key_file)) as fast, \
            relay([{"address": f"unix:{fast.socket}", "parallel": 4},
                   {"address": f"unix:{slow.socket}", "parallel": 1}]) as it:
        a, b, report = it.tvm(1), it.tvm(2), report_of(slow)
        slow.call("Delay", milliseconds=2000)
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            # It fails at the fast one, as does the next, which then waits for the slow one.
            fast.call("Fail", mishap="close", times=2)
            waiting = [pool.submit(qgs.quote, a, report) for _ in range(2)]
            it.wait(lambda: it.upstream(1)["in_flight"] == 1 and it.upstream(0)["failed"] == 2)
            fast.call("Delay", milliseconds=50)
            many, seconds = timed(list, pool.map(lambda _: qgs.quote(b, report), range(12)))
            assert all(is_quote(each) for each in many)
            assert seconds < 1.5, seconds
            assert all(is_quote(each.result()) for each in waiting)


def test_agent_that_goes_away_gives_its_place_back():
    """Over TCP as over the socket: who hangs up while the service works is gone, and counted so."""
    with qe() as up, relay([f"unix:{up.socket}"]) as it:
        path, report = it.tvm(1), report_of(up)
        up.call("Delay", milliseconds=10000)
        for address, name in ((it.tcp, "127.0.0.1"), (path, "tvm1")):
            with qgs.connect(address) as s:
                s.sendall(qgs.request(qgs.GET_QUOTE, report, b""))
                it.wait(lambda: it.upstream(0)["in_flight"] == 1)
            it.wait(lambda: it.upstream(0)["in_flight"] == 0, 5)
            assert it.asker(name)["in_flight"] == 0
            assert it.asker(name)["counts"]["gone"] == 1


def test_names_of_any_length_are_listed():
    """A domain's name longer than a message's room, of characters of several bytes: List shows it."""
    with qe() as up, relay([f"unix:{up.socket}"]) as it:
        name = "ä" * 100
        it.call("Prepare", domain=uuid(1), name=name, socket=it.socket_of(1))
        assert it.asker(name)["domain"] == uuid(1)


def test_fair_turns_while_the_service_is_slow():
    """One domain has 30 requests waiting at a service that does one at a time: another's is next."""
    with qe() as up, relay([{"address": f"unix:{up.socket}", "parallel": 1}], in_flight=40) as it:
        greedy, modest, report = it.tvm(1), it.tvm(2), report_of(up)
        up.call("Delay", milliseconds=50)
        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            many = [pool.submit(qgs.quote, greedy, report) for _ in range(30)]
            it.wait(lambda: it.asker("tvm1")["in_flight"] >= 25)
            answer, seconds = timed(qgs.quote, modest, report)
            assert is_quote(answer)
            waiting = sum(not each.done() for each in many)
            assert waiting >= 10, (waiting, seconds)
            assert all(is_quote(each.result()) for each in many)


def test_only_its_own_qemu_may_use_a_domains_socket():
    """Another process gets no word, and who comes before libvirt's hook has told of it an error."""
    with qe() as up, relay([f"unix:{up.socket}"]) as it, qemu() as own, qemu() as other:
        report, path = report_of(up), it.prepare(1)
        # It asks before the hook has told, and waits.
        own.begin(path, report)
        it.wait(lambda: pathlib.Path("/proc/net/unix").read_text().count(path) == 2)
        it.started(1, own.pid)
        assert is_quote(qgs.parse(own.end()).parts[1])
        assert other.ask(path, report) in (b"", "[Errno 104] Connection reset by peer",
                                           "[Errno 32] Broken pipe")
        assert f"process {other.pid}" in it.said() and "turned away" in it.said()
        assert is_quote(qgs.parse(own.ask(path, report)).parts[1])
        # Whoever comes before it is known is not left to wait for ever, and hears of it.
        early, seconds = timed(other.ask, it.prepare(2), report)
        assert error_of(early) == UNEXPECTED and 2 < seconds < 8, (early, seconds)
        # It is answered first, and logged then.
        it.wait(lambda: "libvirt's hook has not told" in it.said())
        # Nobody but the hook's caller may say who it is, and a process that is none is refused.
        for bad in ({"qemu_pid": own.pid, "qemu_start_time": 1},
                    {"qemu_pid": 2**31 - 1, "qemu_start_time": 1}):
            try:
                it.call("Started", domain=uuid(1), name="tvm1", **bad)
                raise AssertionError(bad)
            except Refused as refused:
                assert "there is no such process" in str(refused), refused


def test_paths_that_are_not_a_domains_own_are_refused():
    """A socket in another's name, or over another file: refused, and nothing is touched."""
    with qe() as up, relay([f"unix:{up.socket}"]) as it:
        for path in ("/etc/passwd", it.socket_of(2), it.socket_of(1) + "/", "relative", "",
                     f"{it.sockets}/../tdid/{uuid(1)}.sock"):
            try:
                it.call("Prepare", domain=uuid(1), name="tvm1", socket=path)
                raise AssertionError(path)
            except Refused as refused:
                assert it.socket_of(1) in str(refused), refused
        with open(it.socket_of(1), "w") as something:
            something.write("else")
        try:
            it.prepare(1)
            raise AssertionError("over a file")
        except Refused as refused:
            assert "something else is in its place" in str(refused), refused
        assert open(it.socket_of(1)).read() == "else"
        assert it.call("List")["askers"] == []


def test_domain_destroyed_in_mid_request_leaves_nothing():
    """QEMU killed, and the release after it: no descriptor, no request, no socket, no record."""
    with qe() as up, relay([f"unix:{up.socket}"]) as it:
        report = report_of(up)
        it.wait(lambda: it.upstream(0)["checks"] == 1 and up.call("GetStatus")["connections"] == 0)
        up.call("Delay", milliseconds=10000)
        before = it.descriptors()
        for end in ("killed", "released"):
            with qemu() as own:
                path = it.prepare(1)
                it.started(1, own.pid)
                own.begin(path, report)
                it.wait(lambda: it.upstream(0)["in_flight"] == 1)
                if end == "killed":
                    own.kill()
                    it.wait(lambda: it.upstream(0)["in_flight"] == 0)
                    assert it.asker("tvm1")["in_flight"] == 0
                it.call("Release", domain=uuid(1))
                it.wait(lambda: it.descriptors() == before)
                assert it.upstream(0)["in_flight"] == 0
                assert not os.path.exists(path)
                assert os.listdir(it.folder / "records") == []
                assert it.call("List")["askers"] == []


def test_killed_and_started_again_the_next_request_works():
    """SIGKILL of tdi-quoted: sockets come back, and QEMU's next request, a new connection, works."""
    with qe() as up, relay([f"unix:{up.socket}"]) as it, qemu() as own, qemu() as ended:
        report, path = report_of(up), it.prepare(1)
        it.started(1, own.pid, cid=77)
        it.started(2, ended.pid)
        early = it.prepare(3)
        assert is_quote(qgs.parse(own.ask(path, report)).parts[1])
        up.call("Delay", milliseconds=3000)
        own.begin(path, report)
        it.wait(lambda: it.upstream(0)["in_flight"] == 1)
        it.kill()
        assert own.end() in (b"", "[Errno 104] Connection reset by peer")
        assert own.ask(path, report) == "[Errno 111] Connection refused"
        ended.kill()
        up.call("Clear")
        it.start()
        assert is_quote(qgs.parse(own.ask(path, report)).parts[1])
        known = {each["name"]: each for each in it.call("List")["askers"]}
        assert known["tvm1"]["qemu_pid"] == own.pid and known["tvm1"]["cid"] == 77, known
        assert "qemu_pid" not in known["tvm2"], known
        # One that had not started yet goes on from there.
        it.started(3)
        assert is_quote(qgs.quote(early, report))
        # And in order: the sockets stay for the next.
        it.stop()
        assert os.path.exists(path)
        it.start()
        assert is_quote(qgs.parse(own.ask(path, report)).parts[1])


def test_out_of_descriptors_and_back():
    """With no descriptor left requests wait, and are answered when there are some again."""
    limit = 40
    with qe() as up, relay([f"unix:{up.socket}"], in_flight=100, silence_ms=10000,
                           deadline_ms=10000) as it:
        it.stop()
        it.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
        path, report = it.tvm(1), report_of(up)
        it.wait(lambda: it.upstream(0)["checks"] == 1 and up.call("GetStatus")["connections"] == 0)
        opened = pathlib.Path(f"/proc/{it.process.pid}/fd")

        def say_nothing(n):
            return [qgs.connect(path) for _ in range(n)]

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            silent = say_nothing(limit - it.descriptors() - 1)
            it.wait(lambda: len(list(opened.iterdir())) == limit - 1)
            # The last one is the request's own: none is left to ask the service with.
            first = pool.submit(qgs.quote, path, report)
            it.wait(lambda: len(list(opened.iterdir())) == limit)
            # And none to take another one.
            silent += say_nothing(5)
            second = pool.submit(qgs.quote, path, report)
            it.wait(lambda: "cannot take a quote request: Too many open files; it waits"
                    in it.said())
            assert not first.done() and not second.done()
            for each in silent:
                each.close()
            assert is_quote(first.result()) and is_quote(second.result())
        assert it.upstream(0)["failed"] == 0, it.upstream(0)


def test_reader_is_not_let_act():
    """Who is not in allow_uids may look, and nothing else."""
    with qe() as up, relay([f"unix:{up.socket}"], allow_uids=[65534]) as it:
        assert it.call("List")["askers"] == []
        try:
            it.prepare(1)
            raise AssertionError("was let")
        except Refused as refused:
            assert "NotPermitted" in str(refused), refused
