// A participant that is a process of its own and takes commands, one a line (pycrdt.child.py, yrs.child.rs).

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import * as Y from 'yjs'
import { eventually } from './wait.mjs'

export class Child {
  static async start (t, name, program, args) {
    const child = new this()
    Object.assign(child, { name, waiting: new Map(), commands: 0, closes: [], connects: 0, ended: null })
    child.process = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    const end = (why) => {
      child.ended ??= `${name} has ended (${why})`
      for (const { reject } of child.waiting.values()) reject(new Error(child.ended))
    }
    child.process.once('exit', (code, signal) => end(code ?? signal))
    child.process.once('error', (error) => end(error.message))
    child.process.stdin.on('error', () => {}) // said by the exit
    createInterface({ input: child.process.stdout }).on('line', (line) => child.take(JSON.parse(line)))
    t.after(() => child.end())
    child.clientID = await child.do('client')
    return child
  }

  take ({ id, value, error, connected, code }) {
    if (connected === true) this.connects++
    if (connected === false) this.closes.push(code)
    const waiting = this.waiting.get(id)
    this.waiting.delete(id)
    if (error !== undefined) waiting?.reject(new Error(error))
    else waiting?.resolve(value)
  }

  /** Gives a command and waits for its answer. */
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
  /** `index` counts what the child's library counts. */
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
  synced () { return eventually(`${this.name} is synced`, () => this.do('synced')) }

  /** Ends the process. */
  async end () {
    if (this.ended) return
    const ended = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill('SIGKILL')
    await ended
  }
}
