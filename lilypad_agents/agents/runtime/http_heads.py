"""uvicorn's HTTP/1.1 protocol on llhttp, with the bound on heads that the parser itself does not have.

The parser in Python took a fifth of the solver's processor time in a profile under load. The one in C keeps an unfinished
head for as long as bytes come. Whoever sends one without end is cut off here.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_HEAD = 1 << 16  # bytes of request line and headers


class BoundedHeads(HttpToolsProtocol):
    """Answers 400 and closes when a head has not ended after LONGEST_HEAD bytes."""

    _head = 0  # bytes that came while a head was expected or unfinished
    _in_head = True

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of this request is too long.")

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head = True, 0
        super().on_message_complete()
