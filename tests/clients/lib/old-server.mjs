// The servers that people move away from.

import { spawn } from 'node:child_process'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { LeveldbPersistence } from 'y-leveldb'
import { freePort } from './server.mjs'
import { eventually } from './wait.mjs'

/** y-websocket's own server, keeping documents with y-leveldb. Ended with the test. */
export class YWebsocketServer {
  static async start (t) {
    const server = new YWebsocketServer()
    server.directory = await mkdtemp(join(tmpdir(), 'ruang-moving-'))
    server.store = join(server.directory, 'store')
    const port = await freePort()
    server.ws = `ws://127.0.0.1:${port}`
    const program = fileURLToPath(new URL('../node_modules/y-websocket-1/bin/server.js', import.meta.url))
    server.process = spawn(process.execPath, [program], {
      stdio: 'ignore', env: { ...process.env, HOST: '127.0.0.1', PORT: `${port}`, YPERSISTENCE: server.store }
    })
    t.after(async () => {
      await server.end()
      await rm(server.directory, { recursive: true, force: true })
    })
    await eventually('the old server is ready', async () => (await fetch(`http://127.0.0.1:${port}`)).ok)
    return server
  }

  /** What is stored under a name now, from a copy: the store itself is in use. */
  async stored (name) {
    const copy = join(this.directory, 'copy')
    await rm(copy, { recursive: true, force: true })
    await cp(this.store, copy, { recursive: true })
    const persistence = new LeveldbPersistence(copy)
    try {
      return await persistence.getYDoc(name)
    } finally {
      await persistence.destroy()
    }
  }

  async end () {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const ended = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill('SIGKILL')
    await ended
  }
}
