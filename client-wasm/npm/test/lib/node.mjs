// The client in Node: the real core from its bytes, the package `ws` for sockets, no local copy.

import { readFile } from 'node:fs/promises'
import { WebSocket } from 'ws'
import { RuangClient } from '../../dist/index.js'
import { eventually } from '../../../../tests/clients/lib/wait.mjs'

const wasm = await readFile(new URL('../../dist/ruang_client_bg.wasm', import.meta.url))

/** A client, ready, closed with the test. */
export async function client (t, server, options = {}) {
  const made = new RuangClient({
    url: server.http, room: 'board', user: 'ana', storage: 'memory', WebSocket, wasm, ...options
  })
  t.after(() => made.close())
  await made.ready
  return made
}

/** The same, when it has what the server has. */
export async function synced (t, server, options) {
  const made = await client(t, server, options)
  await eventually('it is synced', () => made.status === 'synced', { detail: () => JSON.stringify(made.connection.reason) })
  return made
}

/** Waits until the server has stored all that was edited. */
export const saved = (...clients) => eventually('all is saved', () => clients.every((one) => one.unsaved === 0 && one.status === 'synced'),
  { detail: () => clients.map((one) => `${one.status} ${one.unsaved}`).join(', ') })

/** The board as compared: without who is here and when. */
export function shown (made) {
  const { participants, lastUpdated, ...board } = made.state
  return JSON.parse(JSON.stringify(board))
}
