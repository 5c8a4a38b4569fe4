// The client's core, as browsers load it, in Node: the bundle that `scripts/test wasm` makes, and a tab that uses it.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { WebSocket } from 'ws'
import { eventually } from './wait.mjs'

const bundle = resolve(fileURLToPath(import.meta.url), '../../../../client-wasm/npm/wasm')
let loaded

/** The module, started once. Without the bundle this fails: nothing is skipped. */
export async function core () {
  if (!loaded) {
    let bytes
    try {
      bytes = readFileSync(`${bundle}/ruang_client_bg.wasm`)
    } catch (error) {
      throw new Error(`there is no bundle: run scripts/test wasm (${error.message})`)
    }
    const module = await import(pathToFileURL(`${bundle}/ruang_client.js`))
    module.initSync({ module: bytes })
    loaded = module
  }
  return loaded
}

let ids = 1

export class Tab {
  /** @param {import('node:test').TestContext} t */
  static async make (t, room, { user = 'ann', role = 'facilitator', identified = false } = {}) {
    const { Client } = await core()
    const tab = new Tab()
    tab.room = room
    tab.client = new Client({ room, clientId: ids++, user, role, identified })
    tab.state = tab.client.state()
    tab.said = []
    tab.stored = []
    tab.unsaved = 0
    t.after(() => tab.socket?.terminate())
    return tab
  }

  async connect (server, protocols = ['ruang.v1']) {
    const socket = new WebSocket(`${server.ws}/${encodeURIComponent(this.room)}`, protocols)
    socket.binaryType = 'nodebuffer'
    this.socket = socket
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    socket.on('message', (data) => {
      if (this.socket === socket) this.take(this.client.receive(new Uint8Array(data)))
    })
    socket.on('close', (code) => {
      if (this.socket !== socket) return
      this.code = code
      this.socket = undefined
      this.take(this.client.closed())
    })
    this.take(this.client.open())
    return this
  }

  cut () {
    const { socket } = this
    this.socket = undefined
    socket.terminate()
    this.take(this.client.closed())
  }

  edit (edit) { this.take(this.client.edit(edit, Date.now())) }

  /** As an app does it: objects of the state that did not change stay the same objects. */
  take (output) {
    for (const frame of output.frames) this.socket.send(frame)
    this.stored.push(...output.updates)
    this.said.push(...output.said)
    this.unsaved = output.unsaved
    if (output.close) throw new Error(output.close)
    const state = { ...this.state }
    for (const [part, change] of Object.entries(output.change ?? {})) {
      if (part === 'meta' || part === 'actionItems') {
        state[part] = change
        continue
      }
      state[part] = { ...state[part] }
      for (const [key, value] of Object.entries(change)) {
        if (value === null) delete state[part][key]
        else state[part][key] = value
      }
    }
    this.state = state
    return output
  }

  saved () { return eventually('all is saved', () => this.unsaved === 0 && this.client.status().synced) }
}
