# SPDX-License-Identifier: LGPL-2.1-or-later
"""tdi-qe-emulated's quotes before an independent judge, and its bad manners."""
import fcntl
import resource
import socket
import struct
import termios
import time

import judge
import qgs
import tdreport
from qe import qe

MRTD, REPORT_DATA = bytes(range(48)), bytes(range(64))
RTMRS = tuple(bytes([i + 1] * 48) for i in range(4))
# Of a quote, see plugin/quote/emulated/enclave.h.
BODY_AT, SIGNED_SIZE_AT, SIGNATURE_AT, KEY_AT = 48, 632, 636, 700
QE_REPORT_AT, QE_SIGNATURE_AT, AUTHENTICATION_AT, PEM_AT = 770, 1154, 1220, 1258
BODY_MRTD_AT, BODY_REPORT_DATA_AT = BODY_AT + 136, BODY_AT + 520


def report_of(it):
    return tdreport.make(it.key, REPORT_DATA, MRTD, RTMRS)


def verdict(it, quote, root=None):
    """None, or what the judge said against it."""
    path = it.folder / "quote"
    path.write_bytes(quote)
    try:
        judge.verify(path, root or it.root)
    except judge.Refused as words:
        return str(words)
    return None


def wait_until_read(s):
    """Until the other end of a unix socket has read all that was sent: nothing announces it."""
    unread = bytes(4)
    while int.from_bytes(fcntl.ioctl(s, termios.TIOCOUTQ, unread), "little"):
        time.sleep(0.001)


def test_go_tdx_guest_accepts_framed_and_bare_quotes():
    """Quotes asked for in QGS' frame and with a bare report, over a unix socket and TCP, verify."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with qe(tcp_port=port) as it:
        report = report_of(it)
        quotes = [qgs.quote(it.socket, report), qgs.ask(it.socket, report),
                  qgs.quote(("127.0.0.1", port), report)]
        for quote in quotes:
            assert isinstance(quote, bytes), hex(quote)
            assert verdict(it, quote) is None, verdict(it, quote)
            assert quote[BODY_MRTD_AT:][:48] == MRTD
            assert quote[BODY_REPORT_DATA_AT:][:64] == REPORT_DATA
            assert quote[SIGNED_SIZE_AT - 64 - 192:][:192] == b"".join(RTMRS)
        # The key and the certificates are the same after a restart: so is what verifies.
        it.stop()
        it.start()
        assert verdict(it, qgs.quote(it.socket, report)) is None
        assert verdict(it, quotes[0]) is None


def test_go_tdx_guest_refuses_what_was_altered():
    """One byte altered in each field of a quote, or another root: refused by the judge."""
    with qe() as it, qe() as other:
        quote = qgs.quote(it.socket, report_of(it))
        assert verdict(it, quote) is None
        assert "unknown authority" in verdict(it, quote, other.root)
        for name, at in (("version", 0), ("vendor", 12), ("TEE_TCB_SVN", BODY_AT),
                         ("MRTD", BODY_MRTD_AT), ("REPORTDATA", BODY_REPORT_DATA_AT),
                         ("signed size", SIGNED_SIZE_AT), ("signature", SIGNATURE_AT + 5),
                         ("attestation key", KEY_AT + 5), ("QE report", QE_REPORT_AT + 70),
                         ("QE signature", QE_SIGNATURE_AT + 40),
                         ("authentication data", AUTHENTICATION_AT + 3)):
            assert verdict(it, tdreport.altered(quote, at)), name
        certificates = [at for at in range(PEM_AT, len(quote)) if quote.startswith(b"-----BEGIN", at)]
        assert len(certificates) == 3, certificates
        for at in certificates:
            # Of base64, so that it still is base64: in a serial number.
            assert verdict(it, tdreport.altered(quote, at + 28 + 24, ord("a") ^ ord("b"))), at


def test_the_enclave_refuses_reports_that_are_not_the_platforms():
    """An altered MRTD, REPORTDATA, MAC or TCB, another platform's key: an error of QGS, or no byte."""
    with qe() as it:
        report = report_of(it)
        bad = {name: tdreport.altered(report, at) for name, at in (
            ("type", 0), ("CPUSVN", 16), ("REPORTDATA", tdreport.REPORT_DATA_AT),
            ("MAC", tdreport.MAC_AT), ("TCB", tdreport.TCB_INFO_AT + 8),
            ("MRTD", tdreport.MRTD_AT), ("the last byte", tdreport.SIZE - 1))}
        bad["another platform"] = tdreport.make(bytes(32), REPORT_DATA, MRTD)
        bad["another version"] = tdreport.make(it.key, REPORT_DATA, MRTD, version=1)
        for name, altered in bad.items():
            assert qgs.quote(it.socket, altered) == qgs.INVALID_PARAMETER, name
            if altered[0] == 0x81:
                assert qgs.ask(it.socket, altered) == b"", name
        assert it.call("GetStatus")["refused"] == 2 * len(bad) - 1
        assert verdict(it, qgs.quote(it.socket, report)) is None


def test_what_else_qgs_answers():
    """Platform information is given, collateral honestly refused, nonsense gets no byte."""
    with qe() as it:
        answer = qgs.parse(qgs.ask(it.socket, qgs.request(qgs.GET_PLATFORM_INFO)), fixed=4)
        assert (answer.type, answer.error, answer.parts[0]) == (5, 0, b"emulated by tdid"), answer
        data = qgs.ask(it.socket, qgs.request(qgs.GET_COLLATERAL, b"tdidqe", b"platform"))
        assert struct.unpack_from("<HHIII", data, 4)[2] == 3, data
        assert struct.unpack_from("<HHIII", data, 4)[4] == 0x12001, data
        for nonsense in (b"\xff" * 20, b"\0\0\0\0", qgs.request(qgs.GET_PLATFORM_INFO + 1, b"", b""),
                         qgs.request(qgs.GET_QUOTE, b"")):
            assert qgs.ask(it.socket, nonsense) == b"", nonsense


def test_quotes_of_any_size():
    """Padded to up to 128 KiB quotes still verify; what is shorter than a quote does not."""
    with qe() as it:
        report = report_of(it)
        own = len(qgs.quote(it.socket, report))
        for size in (1024, 4096, own - 1, own, own + 1, 8192, 120 << 10, 128 << 10):
            it.call("SetQuoteSize", bytes=size)
            quote = qgs.quote(it.socket, report)
            assert len(quote) == size
            assert qgs.ask(it.socket, report)[:KEY_AT - 64] == quote[:KEY_AT - 64]
            assert (verdict(it, quote) is None) == (size >= own), (size, verdict(it, quote))
        it.call("Clear")
        assert len(qgs.quote(it.socket, report)) == own


def test_bad_manners():
    """Each mishap of io.tdid.QeEmulated is what it says, for as many requests as it says."""
    with qe() as it:
        report = report_of(it)
        asked = qgs.request(qgs.GET_QUOTE, report, b"")
        good = qgs.ask(it.socket, asked)

        def with_mishap(mishap, data=asked, **more):
            it.call("Fail", mishap=mishap, **more)
            return qgs.ask(it.socket, data)

        frame, header = ">I", "<HHIII"
        assert with_mishap("close") == b""
        assert qgs.parse(with_mishap("refuse", value=0xe001)).error == 0xe001
        assert with_mishap("refuse", report) == b""
        assert len(with_mishap("cut")) == len(good) // 2
        for mishap, size in (("short_frame", len(good) - 5), ("long_frame", len(good) - 3),
                             ("huge_frame", 0xffffffff)):
            data = with_mishap(mishap)
            assert struct.unpack_from(frame, data)[0] == size and len(data) == len(good), mishap
        assert struct.unpack_from(header, with_mishap("wrong_size"), 4)[3] == len(good) - 3
        assert struct.unpack_from("<II", with_mishap("wrong_quote_size"), 20) == (0, len(good) - 27)
        assert struct.unpack_from("<II", with_mishap("wrong_id_size"), 20)[0] == 0xffffffff
        assert qgs.parse(with_mishap("old_version")).version == (1, 0)
        assert qgs.parse(with_mishap("wrong_type")).type == 5
        data = with_mishap("trailing_byte")
        assert len(data) == len(good) + 1 and data[:4] == good[:4]
        assert len(with_mishap("trailing_byte", report)) == len(good) - 28

        it.call("Fail", mishap="split", value=300)
        with qgs.connect(it.socket) as s:
            s.sendall(asked)
            begin = time.monotonic()
            first = s.recv(1 << 16)
            assert len(first) == len(good) // 2
            assert len(first + qgs.all_of(s)) == len(good)
            assert time.monotonic() - begin >= 0.25
        it.call("Fail", mishap="silent", times=2)
        with qgs.connect(it.socket, 0.3) as s, qgs.connect(it.socket, 0.3) as bare:
            for each, data in ((s, asked), (bare, report)):
                each.sendall(data)
            for each in (s, bare):
                try:
                    each.recv(1)
                    raise AssertionError("it said something")
                except TimeoutError:
                    pass
            assert it.call("GetStatus")["connections"] == 2
        assert qgs.parse(qgs.ask(it.socket, asked)).error == 0
        it.call("Fail", mishap="close", times=0)
        assert [qgs.ask(it.socket, asked) for _ in range(3)] == [b""] * 3
        it.call("Fail", mishap="close", times=7)
        assert qgs.ask(it.socket, asked) == b""
        assert it.call("Clear") == {"left": 6}
        assert len(qgs.ask(it.socket, asked)) == len(good)


def test_slow_and_wedged_as_qgs():
    """A delay, a request in two pieces that is lost, and no connection accepted any more."""
    with qe() as it:
        report = report_of(it)
        asked = qgs.request(qgs.GET_QUOTE, report, b"")
        it.call("Delay", milliseconds=300)
        begin = time.monotonic()
        assert isinstance(qgs.quote(it.socket, report), bytes)
        assert time.monotonic() - begin >= 0.3
        it.call("Clear")

        def in_two_pieces(timeout):
            with qgs.connect(it.socket, timeout) as s:
                s.sendall(asked[:100])
                wait_until_read(s)
                s.sendall(asked[100:])
                return qgs.all_of(s)

        assert qgs.parse(in_two_pieces(20)).error == 0
        it.call("LoseSplitRequests", lose=True)
        try:
            in_two_pieces(0.3)
            raise AssertionError("it was not lost")
        except TimeoutError:
            pass
        assert isinstance(qgs.quote(it.socket, report), bytes), "in one piece it is not"
        it.call("StopAccepting")
        with qgs.connect(it.socket, 0.3) as s:
            s.sendall(asked)
            try:
                s.recv(1)
                raise AssertionError("it was accepted")
            except TimeoutError:
                pass
            assert it.call("GetStatus")["accepting"] is False
            it.call("Clear")
            assert qgs.parse(qgs.all_of(s)).error == 0


def test_out_of_file_descriptors():
    """What StopAccepting plays really happens: after accept(2) has failed nobody is served again."""
    with qe() as it:
        it.stop()
        it.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)))
        report = report_of(it)
        held = []
        # Who controls it is connected before: afterwards there is no fd for that, either.
        with it.controlled() as call:
            while call("GetStatus")["accepting"]:
                held.append(qgs.connect(it.socket))
                assert len(held) < 64
            for each in held:
                each.close()
            while call("GetStatus")["connections"]:
                pass
            try:
                with qgs.connect(it.socket, 0.3) as s:
                    s.sendall(report)
                    s.recv(1)
                raise AssertionError("it was served")
            except TimeoutError:
                pass
            call("Clear")
        assert verdict(it, qgs.quote(it.socket, report)) is None
