// The real server, as a process of its own: started, killed and started again on the same store.

import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually } from './wait.mjs'

const repository = resolve(fileURLToPath(import.meta.url), '../../../..')
export const binary = process.env.RUANG_BIN ? resolve(process.env.RUANG_BIN) : join(repository, 'target/release/ruang')
const LINES_KEPT = 200

/** A port that is free now: the server keeps it over a restart, so it is chosen before the start. */
export async function freePort () {
  const probe = createServer()
  await new Promise((resolve, reject) => probe.once('error', reject).listen(0, '127.0.0.1', resolve))
  const { port } = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  return port
}

export class Server {
  /**
   * A server of this test's own, ended with the test; on a directory of its own, or on `store`.
   * @param {import('node:test').TestContext} t
   */
  static async start (t, { args = [], env = {}, store } = {}) {
    const server = new Server()
    server.directory = await mkdtemp(join(tmpdir(), 'ruang-clients-'))
    server.port = await freePort()
    server.args = args
    server.store = store ?? `file:${server.directory}`
    server.env = env
    t.after(async () => {
      await server.kill()
      await rm(server.directory, { recursive: true, force: true })
    })
    await server.startAgain()
    return server
  }

  get http () { return `http://127.0.0.1:${this.port}` }
  /** What y-websocket takes as its server address. */
  get ws () { return `ws://127.0.0.1:${this.port}/ws` }
  get pid () { return this.process?.pid }
  get running () { return this.process != null && this.process.exitCode === null && this.process.signalCode === null }

  /** Starts on the same directory and port as before; returns when it says it is ready. */
  async startAgain () {
    const lines = []
    const child = spawn(binary, [
      'serve', '--listen', `127.0.0.1:${this.port}`, '--store', this.store, ...this.args
    ], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...this.env } })
    this.process = child
    this.lines = lines
    let failed
    child.once('error', (error) => { failed = error })
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        lines.push(...text.split('\n').filter(Boolean))
        lines.splice(0, Math.max(0, lines.length - LINES_KEPT))
      })
    }
    await eventually('the server is ready', async () => {
      if (failed || !this.running) return true
      return (await fetch(`${this.http}/readyz`)).status === 200
    }, { within: 20_000, detail: () => lines.slice(-5).join('\n') })
    if (failed || !this.running) {
      throw new Error(`${binary} ended at its start: ${failed?.message ?? ''}\n${lines.join('\n')}`)
    }
  }

  /** Starts again with an empty store: for every room that is as if it had expired. */
  async forget () {
    await this.kill()
    for (const name of await readdir(this.directory)) await rm(join(this.directory, name), { recursive: true })
    await this.startAgain()
  }

  /** A number from /metrics. */
  async metric (name) {
    const text = await (await fetch(`${this.http}/metrics`)).text()
    return Number(text.split('\n').find((line) => line.startsWith(`ruang_${name} `))?.split(' ')[1])
  }

  /** Ends the process at once, as a crash would. */
  async kill (signal = 'SIGKILL') {
    const child = this.process
    if (!this.running) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await ended
  }
}
