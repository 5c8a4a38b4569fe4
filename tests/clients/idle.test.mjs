// Nothing happens for 70 s: providers close a connection on which no message came for 30 s.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y14 from '@y/y'
import { WebsocketProvider as Provider14 } from '@y/websocket'
import { WebsocketProvider as Provider1 } from 'y-websocket-1'
import { Server } from './lib/server.mjs'
import { converged, join, leave, synced } from './lib/client.mjs'
import { eventually, sleep } from './lib/wait.mjs'

const IDLE_MS = Number(process.env.RUANG_TEST_IDLE_MS ?? 70_000)

test(`[S7] idle for ${IDLE_MS / 1000} s, alone and together: no provider loses its connection`, async (t) => {
  const server = await Server.start(t)
  const withState = join(t, server, 'idle-state')
  const silent = join(t, server, 'idle-silent')
  const together = [join(t, server, 'idle-two'), join(t, server, 'idle-two')]
  const old = join(t, server, 'idle-old', { Provider: Provider1 })
  const oldSilent = join(t, server, 'idle-old-silent', { Provider: Provider1 })
  const doc14 = new Y14.Doc()
  const new14 = new Provider14(server.ws, 'idle-14', doc14, { WebSocketPolyfill: WebSocket, disableBc: true })
  t.after(() => { new14.destroy(); new14.awareness.destroy(); doc14.destroy() })
  let connects14 = 0
  new14.on('status', ({ status }) => { if (status === 'connected') connects14++ })
  withState.awareness.setLocalState({ name: 'here' })
  silent.awareness.setLocalState(null)
  oldSilent.awareness.setLocalState(null)
  new14.awareness.setLocalState(null)
  const clients = [withState, silent, ...together, old, oldSilent]
  await synced(...clients)
  await eventually('Yjs 14 is synced', () => new14.synced)
  await sleep(IDLE_MS)
  for (const client of clients) {
    assert.deepEqual([client.connects, client.closes], [1, []], `${client.room}: connected once, never closed`)
  }
  assert.equal(connects14, 1)
  // And it is a live connection, not only an open one.
  for (const client of [silent, oldSilent]) {
    client.doc.getMap('map').set('after', 'idle')
    const late = join(t, server, client.room)
    await synced(late)
    await converged([client, late])
    leave(late)
  }
})
