"""nats-py's client, with its ears protected.

Anybody who may publish chooses the bytes of a subject's last token, of a reply subject and of
headers. Some of them end nats-py's reading (2.16): headers that are cut short or not text, names
that are not UTF-8, or that hold what Python counts as white space and the server does not. The
connection then looks connected and hears nothing for half a minute; and a message in a queue does
that again at every delivery. Large headers take as long to parse as a stranger likes.

Here such a name is written out with backslashes, which no check of ours lets pass, and such headers
are left unread. And requests can be taken straight from the wire, before anything is kept of them:
what nobody wants costs the least there.
"""

import re
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Final

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport, Transport, WebSocketTransport
from nats.protocol import parser

_MAX_HEADER_BYTES: Final = 4096
"""The server's own are a few hundred."""
_NAME: Final = rb"[^ \t\r\n]+"
_LINE: Final = rb"\A%%s[ \t]+(%(name)s)[ \t]+(%(name)s)[ \t]+((%(name)s)[ \t]+)?(\d+)%%s\r\n" % {
    b"name": _NAME
}
_PARSER: Final = {
    "MSG_RE": re.compile(_LINE % (b"MSG", b"")),
    "HMSG_RE": re.compile(_LINE % (b"HMSG", rb"[ \t]+(\d+)")),
}
"""The server's idea of white space, in place of Python's."""


Take = Callable[[str, str, bytes], None]
"""Given subject, reply subject (empty when no answer is wanted) and data of a message."""


class HearingClient(Client):
    """A client that no message makes deaf."""

    def __init__(self) -> None:
        super().__init__()
        self.takers: dict[int, Take] = {}
        """By subscription id: who takes its messages, in place of nats-py's queue."""
        self.must_encrypt = False
        """nats-py goes without TLS where a server, or who stands between, does not ask for it."""
        # The library's parser with two of its patterns replaced.
        code = parser.Parser.parse.__code__
        parse = FunctionType(code, {**vars(parser), **_PARSER}, argdefs=(b"",))
        self._ps.parse = MethodType(parse, self._ps)

    def _connect_command(self) -> bytes:
        if self.must_encrypt and not _is_encrypted(self._transport):
            raise nats.errors.Error("it does not speak TLS")
        return super()._connect_command()

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        if not headers or len(headers) > _MAX_HEADER_BYTES:
            return None
        try:
            return await super()._process_headers(headers)
        except Exception as error:  # Whatever the library trips over, it is a stranger's.
            structlog.get_logger().debug("headers_unread", why=repr(error))
            return None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        return super()._build_message(sid, _escaped(subject), _escaped(reply), data, headers)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        if take := self.takers.get(sid):
            take(_escaped(subject).decode(), _escaped(reply).decode(), bytes(data))
            return
        try:
            await super()._process_msg(sid, subject, reply, data, headers)
        except Exception as error:  # As above: the next message is somebody else's.
            structlog.get_logger().warning("message_unread", why=repr(error))


def _is_encrypted(transport: Transport | None) -> bool:
    match transport:
        case TcpTransport(_io_writer=writer):
            return writer is not None and writer.get_extra_info("ssl_object") is not None
        case WebSocketTransport(_using_tls=encrypted):
            return bool(encrypted)
    return False


def _escaped(name: bytes) -> bytes:
    r"""
    >>> _escaped(b"rollouts.demo"), _escaped(b"in\xffbox")
    (b'rollouts.demo', b'in\\xffbox')
    """
    return name.decode("utf-8", "backslashreplace").encode()
