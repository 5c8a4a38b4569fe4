// pycrdt as a participant: its own provider, in a Python process that ends with the test.
// scripts/lib.sh, `ensure_python_packages`, makes the Python that has it.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import * as Y from 'yjs'
import { eventually } from './wait.mjs'

export const python = fileURLToPath(new URL('../.venv/bin/python', import.meta.url))
const child = fileURLToPath(new URL('./pycrdt.child.py', import.meta.url))

export class Pycrdt {
  /**
   * Joins a room. Resolves when the process runs, not when it is synced.
   * @param {{ ws: string }} server a Server of lib/server.mjs, or anything with the address that y-websocket takes
   */
  static async join (t, server, room) {
    assert.ok(existsSync(python), `${python} is not there: run scripts/test setup`)
    const joined = new Pycrdt()
    Object.assign(joined, { waiting: new Map(), commands: 0, closes: [], connects: 0, ended: null, room })
    joined.process = spawn(python, [child, server.ws, room], { stdio: ['pipe', 'pipe', 'inherit'] })
    joined.process.once('exit', (code, signal) => {
      joined.ended = `pycrdt has ended (${code ?? signal})`
      for (const { reject } of joined.waiting.values()) reject(new Error(joined.ended))
    })
    joined.process.stdin.on('error', () => {}) // said by the exit
    createInterface({ input: joined.process.stdout }).on('line', (line) => joined.take(JSON.parse(line)))
    t.after(() => joined.end())
    joined.clientID = await joined.do('client')
    return joined
  }

  take ({ id, value, error, connected, code }) {
    if (connected === true) this.connects++
    if (connected === false) this.closes.push(code)
    const waiting = this.waiting.get(id)
    this.waiting.delete(id)
    if (error !== undefined) waiting?.reject(new Error(error))
    else waiting?.resolve(value)
  }

  /** Gives a command (pycrdt.child.py, `do_…`) and waits for its answer. */
  do (what, args = {}) {
    if (this.ended) return Promise.reject(new Error(this.ended))
    const id = ++this.commands
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject })
      this.process.stdin.write(`${JSON.stringify({ id, do: what, ...args })}\n`)
    })
  }

  // Edits of the roots `map`, `array`, `text`, as lib/client.mjs, `content`, names them.
  set (key, value) { return this.do('set', { root: 'map', key, value }) }
  delete (key) { return this.do('delete', { root: 'map', key }) }
  push (value) { return this.do('push', { root: 'array', value }) }
  /** `index` counts what pycrdt counts: bytes of UTF-8. */
  insert (index, text) { return this.do('insert', { root: 'text', index, text }) }

  /** Its roots as plain values; the text without formats. */
  content () { return this.do('content') }
  /** The document as Yjs reads it, to be compared with others (lib/client.mjs, `converged`). */
  async doc () {
    const doc = new Y.Doc()
    Y.applyUpdate(doc, Buffer.from(await this.do('update'), 'base64'))
    return doc
  }

  /** Takes an update in, as if it had been in the document before. */
  apply (update) { return this.do('apply', { update: Buffer.from(update).toString('base64') }) }

  // Presence: what it says of itself, and whom it sees (client id → state).
  presence (state) { return this.do('presence', { state }) }
  who () { return this.do('who') }

  offline () { return this.do('offline') }
  online () { return this.do('online') }
  synced () { return eventually('pycrdt is synced', () => this.do('synced')) }

  /** Ends the process. */
  async end () {
    if (this.ended) return
    const ended = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill('SIGKILL')
    await ended
  }
}
