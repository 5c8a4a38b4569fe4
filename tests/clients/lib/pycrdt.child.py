"""A participant with pycrdt's own provider: python pycrdt.child.py WS_URL ROOM

Reads one command a line (JSON: "id", "do", arguments) and answers each with a line: {"id", "value"} or
{"id", "error"}. Says {"connected": true} or {"connected": false, "code": ...} between them. Ends with its
standard input. pycrdt.mjs is the other side.
"""

import asyncio
import base64
import json
import sys
from contextlib import suppress
from urllib.parse import quote

import websockets
from pycrdt import Array, Awareness, Doc, Map, Provider, Text, XmlFragment, create_awareness_message, read_message

SYNC, AWARENESS, ASK_AWARENESS = 0, 1, 3
ROOTS = {"map": Map, "array": Array, "text": Text, "xml": XmlFragment}
AGAIN_AFTER_S = 0.1


def say(**line):
    print(json.dumps(line), flush=True)


class Channel:
    """What Provider asks for, on a WebSocket. Presence is taken out: Provider knows documents only."""

    def __init__(self, socket, path, awareness):
        self.socket, self.path, self.awareness = socket, path, awareness

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return await self.recv()
        except websockets.ConnectionClosed:
            raise StopAsyncIteration from None

    async def send(self, message):
        with suppress(websockets.ConnectionClosed):  # the loop below sees the end, and syncs anew
            await self.socket.send(message)

    async def recv(self):
        while True:
            message = await self.socket.recv()
            if message[0] == SYNC:
                return message
            if message[0] == AWARENESS:
                self.awareness.apply_awareness_update(read_message(message[1:]), "remote")
            elif message[0] == ASK_AWARENESS:
                await self.send(own_presence(self.awareness))


def own_presence(awareness):
    return create_awareness_message(awareness.encode_awareness_update([awareness.client_id]))


class Participant:
    def __init__(self, url, room):
        self.address = f"{url}/{quote(room, safe='/')}"
        self.doc = Doc()
        for name, kind in ROOTS.items():
            self.doc[name] = kind()
        self.awareness = Awareness(self.doc)
        self.awareness.observe(self.announce)
        self.socket = self.connection = None
        self.synced = False
        self.tasks = set()

    def later(self, work):
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def announce(self, topic, change):
        # "local" is what this client says of itself.
        if topic == "update" and change[1] == "local" and self.socket is not None:
            self.later(Channel(self.socket, "", self.awareness).send(own_presence(self.awareness)))

    async def connect(self):
        """Connects, and again after each close that is not final, until told otherwise."""
        while True:
            code = None
            with suppress(OSError, websockets.WebSocketException):
                async with websockets.connect(self.address, max_size=None) as self.socket:
                    say(connected=True)
                    channel = Channel(self.socket, self.address, self.awareness)
                    async with Provider(self.doc, channel) as provider:
                        # Renewed, so that those who were away as well take it before the next renewal.
                        self.awareness.set_local_state(self.awareness.get_local_state())
                        waiting = asyncio.create_task(self.note_sync(provider))
                        await self.socket.wait_closed()
                        waiting.cancel()
                    code = self.socket.close_code
            self.socket, self.synced = None, False
            say(connected=False, code=code)
            if code is not None and 4400 <= code < 4500:
                return
            await asyncio.sleep(AGAIN_AFTER_S)

    async def note_sync(self, provider):
        await provider.synced.wait()
        self.synced = True

    async def do_online(self):
        if self.connection is None or self.connection.done():
            self.connection = asyncio.create_task(self.connect())

    async def do_offline(self):
        if self.connection is not None:
            self.connection.cancel()
            with suppress(asyncio.CancelledError):
                await self.connection
            self.connection, self.socket, self.synced = None, None, False
            say(connected=False, code=None)
        # Who is offline sees nobody, and takes everybody's state when it is back, renewed or not.
        others = [client for client in self.awareness.meta if client != self.awareness.client_id]
        self.awareness.remove_awareness_states(others, "offline")
        for client in others:
            del self.awareness.meta[client]

    async def do_synced(self):
        return self.synced

    async def do_client(self):
        return self.doc.client_id

    async def do_set(self, root, key, value):
        self.doc[root][key] = value

    async def do_delete(self, root, key):
        del self.doc[root][key]

    async def do_push(self, root, value):
        self.doc[root].append(value)

    async def do_insert(self, root, index, text):
        self.doc[root].insert(index, text)

    async def do_content(self):
        return {
            "map": self.doc["map"].to_py(),
            "array": self.doc["array"].to_py(),
            "text": str(self.doc["text"]),
            "xml": str(self.doc["xml"]),
        }

    async def do_update(self):
        return base64.b64encode(self.doc.get_update()).decode()

    async def do_apply(self, update):
        self.doc.apply_update(base64.b64decode(update))

    async def do_presence(self, state):
        self.awareness.set_local_state(state)

    async def do_who(self):
        return {str(client): state for client, state in self.awareness.states.items()}


async def main():
    participant = Participant(*sys.argv[1:3])
    await participant.do_online()
    participant.later(participant.awareness.start())
    lines = asyncio.StreamReader(limit=1 << 28)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        command = json.loads(line)
        number, do = command.pop("id"), command.pop("do")
        try:
            say(id=number, value=await getattr(participant, f"do_{do}")(**command))
        except Exception as error:
            say(id=number, error=f"{type(error).__name__}: {error}")
    await participant.do_offline()
    for task in list(participant.tasks):
        task.cancel()


asyncio.run(main())
