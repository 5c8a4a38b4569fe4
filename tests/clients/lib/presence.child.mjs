// A participant in a process of its own, to be killed: node presence.child.mjs WS_URL ROOM NAME

import { WebSocket } from 'ws'
import * as Y from 'yjs'
import { WebsocketProvider } from 'y-websocket'

globalThis.WebSocket = WebSocket
const [url, room, name] = process.argv.slice(2)
const provider = new WebsocketProvider(url, room, new Y.Doc(), { WebSocketPolyfill: WebSocket, disableBc: true })
provider.awareness.setLocalState({ user: { name } })
